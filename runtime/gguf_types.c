/* runtime/gguf_types.c -- see gguf_types.h.
 *
 * Formulas as in ggml's dequantize_row_*: d, m are F16 of a block; in blocks of 256 each 16 or 32
 * elements have a scale of 4 to 8 bits beside. */
#include "runtime/gguf_types.h"

#include <string.h>

#include "runtime/internal.h"

static const RtGgufType types[] = {
#define GGUF_TYPE(name, id, block, bytes, group, scales) {#name, id, block, bytes, group, #scales},
#include "runtime/gguf_types.def"
#undef GGUF_TYPE
};

enum {
#define GGUF_TYPE(name, id, block, bytes, group, scales) TYPE_##name = id,
#include "runtime/gguf_types.def"
#undef GGUF_TYPE
};

const RtGgufType *
rt_gguf_type(uint32_t id)
{
    for (size_t i = 0; i < RT_COUNT(types); i++)
        if (types[i].id == id)
            return &types[i];
    return NULL;
}

const char *
rt_gguf_type_names(void)
{
    return
#define GGUF_TYPE(name, id, block, bytes, group, scales) #name " "
#include "runtime/gguf_types.def"
#undef GGUF_TYPE
        "";
}

float
rt_gguf_half(const unsigned char *at)
{
    const unsigned n = (unsigned)at[0] | (unsigned)at[1] << 8;
    const unsigned exponent = n >> 10 & 31, fraction = n & 0x3FF;
    float f = (float)fraction / 16777216; /* of a subnormal: fraction * 2^-24 */
    if (exponent) {
        const uint32_t bits = (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
        memcpy(&f, &bits, sizeof f);
    }
    return n >> 15 ? -f : f;
}

/* Q4_0, Q4_1, Q5_0, Q5_1: the low halves of 16 bytes, then the high ones; a fifth bit beside. */
static void
unpack_halves(const unsigned char *block, bool min, bool fifth, float *out)
{
    enum { HALF = 16 };
    const float d = rt_gguf_half(block), m = min ? rt_gguf_half(block + 2) : 0;
    const unsigned char *at = block + (min ? 4 : 2);
    uint32_t high = 0;
    if (fifth) {
        for (int i = 4; i-- > 0;)
            high = high << 8 | at[i];
        at += 4;
    }
    const int middle = min ? 0 : fifth ? 16 : 8;
    for (int i = 0; i < 2 * HALF; i++) {
        const int low = i < HALF ? at[i] & 15 : at[i - HALF] >> 4;
        const int q = low + (int)(high >> i & 1) * 16 - middle;
        const float product = d * (float)q;
        out[i] = min ? product + m : product;
    }
}

/* Scale and minimum of group i of 8: 6 bits each, packed in 12 bytes. */
static void
scale_min(const unsigned char *s, int i, int *scale, int *min)
{
    *scale = i < 4 ? s[i] & 63 : (s[i + 4] & 15) | (s[i - 4] >> 6) << 4;
    *min = i < 4 ? s[i + 4] & 63 : s[i + 4] >> 4 | (s[i] >> 6) << 4;
}

/* Q4_K and Q5_K: eight groups of 32; two share 32 bytes, the low halves first. */
static void
unpack_groups(const unsigned char *block, bool fifth, float *out)
{
    enum { SCALES = 4, HIGH = 16, GROUP = 32 };
    const float d = rt_gguf_half(block), dmin = rt_gguf_half(block + 2);
    const unsigned char *high = block + HIGH, *low = block + HIGH + (fifth ? GROUP : 0);
    for (int g = 0; g < 8; g++) {
        int scale, min;
        scale_min(block + SCALES, g, &scale, &min);
        const float by = d * (float)scale, less = dmin * (float)min;
        for (int i = 0; i < GROUP; i++) {
            const unsigned char both = low[g / 2 * GROUP + i];
            const int q = (g % 2 ? both >> 4 : both & 15) + (fifth ? (high[i] >> g & 1) * 16 : 0);
            const float product = by * (float)q;
            out[g * GROUP + i] = product - less;
        }
    }
}

/* Q6_K: 128 bytes of low halves, 64 of two high bits, 16 signed scales, d. */
static void
unpack_six(const unsigned char *block, float *out)
{
    enum { HIGH = 128, SCALES = 192, D = 208 };
    const float d = rt_gguf_half(block + D);
    for (int i = 0; i < 256; i++) {
        const int part = i / 128, in = i % 128, row = in / 32, column = in % 32;
        const unsigned char both = block[part * 64 + row % 2 * 32 + column];
        const int low = row < 2 ? both & 15 : both >> 4;
        const int two = block[HIGH + part * 32 + column] >> 2 * row & 3;
        const float by = d * (float)(signed char)block[SCALES + i / 16];
        out[i] = by * (float)(low + two * 16 - 32);
    }
}

void
rt_gguf_unpack(const RtGgufType *type, const unsigned char *block, float *out)
{
    switch (type->id) {
    case TYPE_Q4_0:
    case TYPE_Q4_1:
        unpack_halves(block, type->id == TYPE_Q4_1, false, out);
        break;
    case TYPE_Q5_0:
    case TYPE_Q5_1:
        unpack_halves(block, type->id == TYPE_Q5_1, true, out);
        break;
    case TYPE_Q8_0: {
        const float d = rt_gguf_half(block);
        for (int i = 0; i < type->block; i++)
            out[i] = d * (float)(signed char)block[2 + i];
        break;
    }
    case TYPE_Q4_K:
    case TYPE_Q5_K:
        unpack_groups(block, type->id == TYPE_Q5_K, out);
        break;
    case TYPE_Q6_K:
        unpack_six(block, out);
        break;
    default:
        memset(out, 0, (size_t)type->block * sizeof *out);
    }
}

void
rt_gguf_scales(const RtGgufType *type, const unsigned char *block, float *scales, float *minima)
{
    enum { LEAST_OF_Q4_0 = -8, SCALES_OF_FOUR = 4, SCALES_OF_SIX = 192, D_OF_SIX = 208 };
    const int groups = type->group ? type->block / type->group : 0;
    for (int g = 0; g < groups; g++) {
        int scale = 1, min = 0;
        float d = rt_gguf_half(block + (type->id == TYPE_Q6_K ? D_OF_SIX : 0)), m = 0;
        switch (type->id) {
        case TYPE_Q4_0:
            m = d, min = LEAST_OF_Q4_0;
            break;
        case TYPE_Q4_1:
            m = rt_gguf_half(block + 2), min = 1;
            break;
        case TYPE_Q4_K:
            scale_min(block + SCALES_OF_FOUR, g, &scale, &min);
            m = -rt_gguf_half(block + 2);
            break;
        case TYPE_Q6_K:
            scale = (signed char)block[SCALES_OF_SIX + g];
            break;
        }
        scales[g] = d * (float)scale;
        minima[g] = m * (float)min;
    }
}
