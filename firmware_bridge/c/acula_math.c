/* Logarithm and exponential in double precision, for probabilities: a few per hop.
 * SPDX-License-Identifier: Apache-2.0 */
#include "acula_math.h"

static const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;

double acula_log64(double x) {
    static const double terms[] = {2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13,
                                   2.0 / 11, 2.0 / 9,  2.0 / 7,  2.0 / 5,  2.0 / 3};
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t exponent = ((int32_t)(bits >> 32) - 0x3FE6A09E) >> 20;
    bits = (int64_t)((uint64_t)bits - ((uint64_t)(int64_t)exponent << 52));
    double fraction;
    memcpy(&fraction, &bits, sizeof fraction);
    fraction -= 1.0;
    const double s = fraction / (fraction + 2.0);
    const double z = s * s;
    double series = 0.0;
    for (uint32_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        series = (series + terms[i]) * z;
    }
    return exponent * ln2_high + (exponent * ln2_low + (s * series + (s + s)));
}

double acula_exp64(double x) {
    static const double terms[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0,
                                   1.0 / 3628800.0,    1.0 / 362880.0,    1.0 / 40320.0,
                                   1.0 / 5040.0,       1.0 / 720.0,       1.0 / 120.0,
                                   1.0 / 24.0,         1.0 / 6.0,         1.0 / 2.0};
    x = x < -700.0 ? -700.0 : x > 700.0 ? 700.0 : x;
    const double turns = x * 0x1.71547652b82fep+0 + 0.5; /* 1 / log 2 */
    int32_t exponent = (int32_t)turns;
    exponent -= turns < exponent;
    const double r = (x - exponent * ln2_high) - exponent * ln2_low;
    double series = 0.0;
    for (uint32_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        series = (series + terms[i]) * r;
    }
    const uint64_t bits = (uint64_t)(exponent + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return (1.0 + (r + series * r)) * scale;
}
