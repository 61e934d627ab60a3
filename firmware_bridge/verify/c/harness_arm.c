/* The harness on a Cortex-M in QEMU: semihosting files, SysTick, a painted stack.
 *
 * Under `-icount shift=0` QEMU's virtual time is one nanosecond per instruction, and SysTick counts
 * that time at the board's clock: instructions = ticks * 1e9 / clock. */
#include "harness_platform.h"
#include "harness_semihosting.h"

static volatile uint32_t *const SYST_CSR = (volatile uint32_t *)0xE000E010UL;
static volatile uint32_t *const SYST_RVR = (volatile uint32_t *)0xE000E014UL;
static volatile uint32_t *const SYST_CVR = (volatile uint32_t *)0xE000E018UL;
static const uint32_t PAINT = 0xA5C3F00DUL;
enum { MARGIN = 16 };

extern uint32_t __stack_limit[];
static HARNESS_DATA uint32_t *painted_to;

int platform_open(const char *name, int mode)
{
    return semihosting_open(name, mode == PLATFORM_READ ? 1 : 5);
}

size_t platform_read(int handle, void *data, size_t bytes)
{
    return semihosting_read(handle, data, bytes);
}

int platform_write(int handle, const void *data, size_t bytes)
{
    return semihosting_write(handle, data, bytes);
}

void platform_close(int handle)
{
    semihosting_close(handle);
}

void platform_start(void)
{
    uint32_t *here;
    uint32_t *word;

    *SYST_RVR = 0xFFFFFFUL;
    *SYST_CVR = 0;
    *SYST_CSR = 5; /* the processor's clock, no interrupt */
    __asm__ volatile("mov %0, sp" : "=r"(here));
    /* The compiler may push registers of this function after reading sp. */
    for (word = __stack_limit; word < here - MARGIN; ++word) {
        *(volatile uint32_t *)word = PAINT;
    }
    painted_to = here;
}

uint32_t platform_ticks(void)
{
    return *SYST_CVR;
}

void platform_loop(uint32_t iterations)
{
    __asm__ volatile("1: subs %0, %0, #1\n\tbne 1b" : "+l"(iterations) : : "cc");
}

uint32_t platform_stack(void)
{
    const volatile uint32_t *word = __stack_limit;

    while (word < painted_to && *word == PAINT) {
        ++word;
    }
    return word == __stack_limit ? UINT32_MAX : (uint32_t)((uintptr_t)painted_to - (uintptr_t)word);
}
