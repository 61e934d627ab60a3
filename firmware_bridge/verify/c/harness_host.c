/* The harness on the build machine: stdio, no instruction clock, no painted stack. */
#include "harness_platform.h"

#include <stdio.h>

enum { FILES = 4 };
static FILE *files[FILES];

int platform_open(const char *name, int mode)
{
    int slot;

    for (slot = 0; slot < FILES && files[slot] != NULL; ++slot) {
    }
    if (slot == FILES) {
        return -1;
    }
    files[slot] = fopen(name, mode == PLATFORM_READ ? "rb" : "wb");
    return files[slot] == NULL ? -1 : slot;
}

size_t platform_read(int handle, void *data, size_t bytes)
{
    return fread(data, 1, bytes, files[handle]);
}

int platform_write(int handle, const void *data, size_t bytes)
{
    return fwrite(data, 1, bytes, files[handle]) == bytes;
}

void platform_close(int handle)
{
    (void)fclose(files[handle]);
    files[handle] = NULL;
}

void platform_start(void)
{
}

uint32_t platform_ticks(void)
{
    return 0;
}

void platform_loop(uint32_t iterations)
{
    (void)iterations;
}

uint32_t platform_stack(void)
{
    return 0;
}
