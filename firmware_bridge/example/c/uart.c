/* The CMSDK APB UART of the MPS2 boards, polled. Registers: Arm DDI 0479, section 4.3. */
#include "uart.h"

typedef struct {
    volatile uint32_t data, state, control, interrupts, divider;
} cmsdk_uart;

enum { STATE_TX_FULL = 1, CONTROL_TX_ENABLE = 1 };

static cmsdk_uart *const uart = (cmsdk_uart *)0x40004000UL;

void uart_begin(void)
{
    uart->divider = 25000000UL / 230400UL; /* baud; QEMU sends at once */
    uart->control = CONTROL_TX_ENABLE;
}

void uart_send(const uint8_t *data, size_t bytes)
{
    size_t i;

    for (i = 0; i < bytes; ++i) {
        while (uart->state & STATE_TX_FULL) {
        }
        uart->data = data[i];
    }
}
