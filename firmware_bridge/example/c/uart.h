/* The first UART of Arm's MPS2 boards (CMSDK APB UART): sending only. */
#ifndef UART_H
#define UART_H

#include <stddef.h>
#include <stdint.h>

/* Switch the transmitter on. */
void uart_begin(void);

/* Send all of `data`; waits while the transmitter is busy. */
void uart_send(const uint8_t *data, size_t bytes);

#endif
