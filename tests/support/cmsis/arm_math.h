/* A stand-in for CMSIS-DSP's real FFT, of our own, as a plain sum. */
#ifndef ARM_MATH_H
#define ARM_MATH_H
#include <math.h>
#include <stdint.h>
typedef struct { uint16_t size; } arm_rfft_fast_instance_f32;
static int arm_rfft_fast_init_f32(arm_rfft_fast_instance_f32 *fft, uint16_t size) {
    fft->size = size;
    return 0;
}
static void arm_rfft_fast_f32(const arm_rfft_fast_instance_f32 *fft, float *x, float *y, uint8_t back) {
    (void)back;
    for (uint32_t k = 0; k < fft->size / 2u; k++) {
        double re = 0, im = 0;
        for (uint32_t n = 0; n < fft->size; n++) {
            const double angle = 6.283185307179586 * k * n / fft->size;
            re += x[n] * cos(angle);
            im -= x[n] * sin(angle);
        }
        y[2 * k] = (float)re;
        y[2 * k + 1] = (float)im;
    }
}
#endif
