/* Arithmetic whose bits are the same on every core: rounding, logarithm, exponential.
 *
 * Every function is a fixed sequence of IEEE 754 operations; contraction into fused operations and
 * fast-math would change results, so one is switched off and the other refused.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ACULA_MATH_H
#define ACULA_MATH_H

#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "acula needs IEEE 754 arithmetic: compile without -ffast-math"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

/* To the nearest whole number, ties to even; |x| <= 2^22. Adding 1.5 * 2^23 leaves no bits for a
 * fraction, and the float's low bits are then the integer. */
static inline int32_t acula_round(float x) {
    const float shifted = x + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4B400000;
}

/* Natural logarithm of a positive normal number, to about 6e-8 or 2e-7 of the result.
 * log(1 + f) = 2 s + 2/3 s^3 + 2/5 s^5 + 2/7 s^7 with s = f / (2 + f). */
static inline float acula_log(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t exponent = (bits - 0x3F3504F3) >> 23; /* so that the rest is near 1 */
    bits = (int32_t)((uint32_t)bits - ((uint32_t)exponent << 23));
    float fraction;
    memcpy(&fraction, &bits, sizeof fraction);
    fraction -= 1.0f;
    const float s = fraction / (fraction + 2.0f);
    const float z = s * s;
    const float series = ((0x1.24924ap-2f * z + 0x1.99999ap-2f) * z + 0x1.555556p-1f) * z;
    return (float)exponent * 0x1.62e43p-1f + (s * series + (s + s));
}

double acula_log64(double x); /* positive and normal */
double acula_exp64(double x); /* cut to +-700 */

#endif
