/* runtime/blocks.c -- see blocks.h. */
#include "runtime/blocks.h"

#include <string.h>

#include "runtime/internal.h"

enum { MOST_BLOCK = 256 };

const char *const rt_part_suffix[RT_PARTS] = {"", "@scales", "@minima"};

size_t
rt_part_of_name(const char *name, size_t len, RtPart *part)
{
    for (int i = RT_PARTS; i-- > 0;) {
        const size_t n = strlen(rt_part_suffix[i]);
        *part = (RtPart)i;
        if (n < len && memcmp(name + len - n, rt_part_suffix[i], n) == 0)
            return len - n;
    }
    return len;
}

/* ---- rows in another order ------------------------------------------------------------------ */

bool
rt_turns(const RtTurn *turn)
{
    return turn->a > 1 && turn->b > 1;
}

size_t
rt_turn_place(const RtTurn *turn, size_t i)
{
    if (i < turn->fixed || !rt_turns(turn))
        return i;
    const size_t behind = i - turn->fixed, unit = behind / turn->unit, x = unit / turn->b % turn->a;
    const size_t repeat = unit / turn->b / turn->a, y = unit % turn->b;
    return turn->fixed + ((repeat * turn->b + y) * turn->a + x) * turn->unit + behind % turn->unit;
}

/* ---- parts ---------------------------------------------------------------------------------- */

bool
rt_blocks_have_scales(const RtBlocks *b)
{
    const size_t group = (size_t)b->type->group;
    return group && (!rt_turns(&b->column_turn) ||
                     (b->column_turn.fixed % group == 0 && b->column_turn.unit % group == 0));
}

const char *
rt_blocks_dtype(const RtBlocks *b, RtPart part)
{
    return rt_dtype_name(part == RT_WHOLE ? "F32" : b->type->scales);
}

/* Elements of a row. */
static size_t
width_of(const RtBlocks *b, RtPart part)
{
    return part == RT_WHOLE ? b->columns : b->columns / (size_t)b->type->group;
}

static size_t
element_bytes(const RtBlocks *b, RtPart part)
{
    return (size_t)rt_dtype_bits(rt_blocks_dtype(b, part)) / 8;
}

size_t
rt_blocks_bytes(const RtBlocks *b, RtPart part)
{
    return b->rows * width_of(b, part) * element_bytes(b, part);
}

/* x, which an F16 holds, as one. */
static uint16_t
half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, exponent = bits >> 23 & 255,
                   fraction = bits & 0x7FFFFF;
    if (exponent < 113) /* of a subnormal: fraction * 2^-24 */
        return (uint16_t)(sign | (exponent ? (fraction | 0x800000) >> (126 - exponent) : 0));
    if (exponent > 142)
        return (uint16_t)(sign | 0x7C00 | (exponent == 255 ? fraction >> 13 : 0));
    return (uint16_t)(sign | (exponent - 112) << 10 | fraction >> 13);
}

static void
put(char *to, float x, size_t bytes)
{
    const uint16_t half = bytes == sizeof half ? half_of(x) : 0;
    memcpy(to, bytes == sizeof half ? (const void *)&half : (const void *)&x, bytes);
}

/* One block's elements, or one part of what its groups have. */
static size_t
take_block(const RtBlocks *b, RtPart part, const unsigned char *block, float *out)
{
    float other[MOST_BLOCK];
    if (part == RT_WHOLE)
        rt_gguf_unpack(b->type, block, out);
    else if (part == RT_SCALES)
        rt_gguf_scales(b->type, block, out, other);
    else
        rt_gguf_scales(b->type, block, other, out);
    return (size_t)(part == RT_WHOLE ? b->type->block : b->type->block / b->type->group);
}

static void
fill_row(const RtBlocks *b, RtPart part, const unsigned char *from, const RtTurn *turn, char *to)
{
    const size_t bytes = element_bytes(b, part), blocks = b->columns / (size_t)b->type->block;
    float x[MOST_BLOCK];
    size_t column = 0;
    for (size_t i = 0; i < blocks; i++, from += b->type->bytes) {
        const size_t count = take_block(b, part, from, x);
        if (bytes == sizeof *x && !rt_turns(turn))
            memcpy(to + column * bytes, x, count * bytes);
        else
            for (size_t k = 0; k < count; k++)
                put(to + rt_turn_place(turn, column + k) * bytes, x[k], bytes);
        column += count;
    }
}

void
rt_blocks_fill(const RtBlocks *b, RtPart part, size_t from, size_t to, char *out)
{
    const size_t group = part == RT_WHOLE ? 1 : (size_t)b->type->group;
    const size_t row = b->columns / (size_t)b->type->block * (size_t)b->type->bytes;
    const size_t bytes = width_of(b, part) * element_bytes(b, part);
    RtTurn turn = b->column_turn;
    turn.fixed /= group;
    turn.unit /= group;
    for (size_t i = from; i < to; i++)
        fill_row(b, part, (const unsigned char *)b->data + i * row, &turn,
                 out + rt_turn_place(&b->row_turn, i) * bytes);
}
