/* ir/float16.c -- bf16 and f16 by bits, and stored elements as doubles. */
#include <math.h>
#include <string.h>

#include "ir/ref.h"

static float
float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t
bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float
bf16_to_f32(uint16_t bits)
{
    return float_of_bits((uint32_t)bits << 16);
}

uint16_t
f32_to_bf16(float value)
{
    const uint32_t bits = bits_of_float(value);
    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40U); /* stays a NaN when its payload is cut off */
    const uint32_t to_even = 0x7FFFU + (bits >> 16 & 1U);
    return (uint16_t)((bits + to_even) >> 16);
}

float
f16_to_f32(uint16_t half)
{
    /* The half's exponent and mantissa read as a single are 2^112 too small (bias 127 - 15), for
     * subnormal halves too: their mantissas are subnormal singles then. */
    const uint32_t sign = (uint32_t)(half & 0x8000U) << 16;
    const float magnitude = float_of_bits((uint32_t)(half & 0x7FFFU) << 13) * 0x1p112F;
    const uint32_t special = (half & 0x7C00U) == 0x7C00U ? 0x7F800000U : 0U; /* inf and NaN */
    return float_of_bits(bits_of_float(magnitude) | special | sign);
}

/* To nearest even. Below the normal halves an addition of 0.5 aligns the mantissa to 2^-24, where
 * the hardware rounds; above 65520 there is only inf. */
uint16_t
f32_to_f16(float value)
{
    const uint32_t bits = bits_of_float(value), sign = bits & 0x80000000U, magnitude = bits ^ sign;
    const uint16_t high = (uint16_t)(sign >> 16);
    if (magnitude >= 0x47800000U)
        return (uint16_t)(high | (magnitude > 0x7F800000U ? 0x7E00U : 0x7C00U));
    if (magnitude < 0x38800000U)
        return (uint16_t)(high | (bits_of_float(float_of_bits(magnitude) + 0.5F) - 0x3F000000U));
    const uint32_t rounded = magnitude + 0xC8000FFFU + (magnitude >> 13 & 1U);
    return (uint16_t)(high | rounded >> 13);
}

/* One loop a type, so that each vectorises. memcpy: checkpoints do not align their tensors. */
#define WIDEN(type, to_double)                                                                     \
    for (int64_t i = 0; i < n; i++) {                                                              \
        type element;                                                                              \
        memcpy(&element, from + (int64_t)sizeof element * i, sizeof element);                      \
        out[i] = to_double(element);                                                               \
    }                                                                                              \
    return

void
ref_widen(Dtype dtype, const void *stored, int64_t first, int64_t n, double *out)
{
    const char *from = (const char *)stored + first * dtype_info[dtype].bytes;
    switch (dtype) {
    case DTYPE_f32:
        WIDEN(float, (double));
    case DTYPE_f16:
        WIDEN(uint16_t, f16_to_f32);
    case DTYPE_bf16:
        WIDEN(uint16_t, bf16_to_f32);
    case DTYPE_i32:
        WIDEN(int32_t, (double));
    case DTYPE_i8:
    case DTYPE_u8:
    case DTYPE_u4:
    case DTYPE_u4x2: /* never stored in a checkpoint */
    case DTYPE_COUNT:
        break;
    }
    die("ref_widen: element type %d", (int)dtype);
}
