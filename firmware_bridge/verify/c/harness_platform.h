/* What the verification harness needs of its platform: files, an instruction clock, the stack.
 *
 * harness_host.c answers with stdio on the build machine, harness_arm.c with semihosting, SysTick
 * and a painted stack on a Cortex-M. File names are plain names in the current folder. */
#ifndef HARNESS_PLATFORM_H
#define HARNESS_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

/* Harness data that is no part of the firmware's RAM figure goes to a section of its own. */
#if defined(__arm__)
#define HARNESS_DATA __attribute__((section(".harness_bss")))
#else
#define HARNESS_DATA
#endif

enum { PLATFORM_READ = 0, PLATFORM_WRITE = 1 };

/* Open a file of the current folder; a handle >= 0, or -1. */
int platform_open(const char *name, int mode);
/* Read up to `bytes`; how many came. */
size_t platform_read(int handle, void *data, size_t bytes);
/* Write all of `bytes`; 0 where that failed. */
int platform_write(int handle, const void *data, size_t bytes);
void platform_close(int handle);

/* Start the clock and paint the free stack below the caller. */
void platform_start(void);
/* A clock that counts down, modulo 2^24, one tick per so many instructions; 0 where there is none. */
uint32_t platform_ticks(void);
/* Run a loop of exactly 2 * `iterations` instructions. */
void platform_loop(uint32_t iterations);
/* Bytes of stack used below the caller of platform_start since then; UINT32_MAX: all there is. */
uint32_t platform_stack(void);

#endif
