/* Semihosting calls: a breakpoint instruction that the debugger, here QEMU, answers. */
#include "harness_semihosting.h"

#include <stdint.h>
#include <string.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT_EXTENDED = 0x20
};
static const uint32_t APPLICATION_EXIT = 0x20026U;

static int32_t call(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

int semihosting_open(const char *name, int mode)
{
    uint32_t block[3];

    block[0] = (uint32_t)(uintptr_t)name;
    block[1] = (uint32_t)mode;
    block[2] = (uint32_t)strlen(name);
    return (int)call(SYS_OPEN, block);
}

/* SYS_READ and SYS_WRITE answer with the bytes they did not transfer. */
static size_t transfer(uint32_t operation, int handle, const void *data, size_t bytes)
{
    uint32_t block[3];
    uint32_t left;

    block[0] = (uint32_t)handle;
    block[1] = (uint32_t)(uintptr_t)data;
    block[2] = (uint32_t)bytes;
    left = (uint32_t)call(operation, block);
    return left > bytes ? 0 : bytes - left;
}

size_t semihosting_read(int handle, void *data, size_t bytes)
{
    return transfer(SYS_READ, handle, data, bytes);
}

int semihosting_write(int handle, const void *data, size_t bytes)
{
    return transfer(SYS_WRITE, handle, data, bytes) == bytes;
}

void semihosting_close(int handle)
{
    uint32_t block = (uint32_t)handle;

    (void)call(SYS_CLOSE, &block);
}

void semihosting_print(const char *text)
{
    (void)call(SYS_WRITE0, text);
}

void semihosting_exit(int code)
{
    uint32_t block[2];

    block[0] = APPLICATION_EXIT;
    block[1] = (uint32_t)code;
    for (;;) {
        (void)call(SYS_EXIT_EXTENDED, block);
    }
}
