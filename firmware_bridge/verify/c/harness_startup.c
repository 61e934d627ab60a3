/* Reset: the FPU on, data copied, bss cleared, main called; a fault ends the run with a word. */
#include <stdint.h>

#include "harness_semihosting.h"

typedef void (*handler)(void);

extern uint32_t __stack_top[], __data_load[], __data_start[], __data_end[];
extern uint32_t __bss_start[], __bss_end[], __harness_bss_start[], __harness_bss_end[];

int main(void);
void reset_handler(void);
void fault_handler(void);

static void clear(uint32_t *start, const uint32_t *end)
{
    while (start < end) {
        *start++ = 0;
    }
}

void reset_handler(void)
{
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xE000ED88UL;
    const uint32_t *from = __data_load;
    uint32_t *to;

    *cpacr |= 0xFUL << 20; /* full access to coprocessors 10 and 11: without it, floats fault */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    for (to = __data_start; to < __data_end; ++to) {
        *to = *from++;
    }
    clear(__bss_start, __bss_end);
    clear(__harness_bss_start, __harness_bss_end);
    semihosting_exit(main());
}

void fault_handler(void)
{
    semihosting_print("the firmware took a processor fault\n");
    semihosting_exit(70);
}

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler handlers[15];
} vectors = {
    __stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, 0, 0, 0, fault_handler, fault_handler, 0, fault_handler, fault_handler},
};
