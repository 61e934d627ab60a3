/* Semihosting calls of Arm's specification 3.0: files and exit through the debugger (QEMU). */
#ifndef HARNESS_SEMIHOSTING_H
#define HARNESS_SEMIHOSTING_H

#include <stddef.h>

/* A handle >= 0 or -1; `mode` is an fopen mode of the specification: 1 = "rb", 5 = "wb". */
int semihosting_open(const char *name, int mode);
size_t semihosting_read(int handle, void *data, size_t bytes);
/* 1 when all of `bytes` were written. */
int semihosting_write(int handle, const void *data, size_t bytes);
void semihosting_close(int handle);
/* One line on the debugger's console. */
void semihosting_print(const char *text);
void semihosting_exit(int code);

#endif
