/* ir/check.c -- whether one attribute or node is well-formed by itself. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "ir/internal.h"

/* Words an attribute may have, in one string; NULL: any. */
static const char *const attr_words[ATTR_COUNT] = {
    [ATTR_dot] = "auto f32 bf16 bf16x3",
    [ATTR_form] = "auto recurrent chunked quadratic",
    [ATTR_matmul] = "auto emitted blas",
    [ATTR_score] = "softmax sigmoid",
    [ATTR_part] = "rows cols grid heads none",
    [ATTR_to] = "f32 f16 bf16",
    [ATTR_unit] = "vectors matrix",
    [ATTR_scaling] = "none linear llama3 yarn longrope",
};

bool
kernel_has_attr(AttrId id)
{
    return id == ATTR_dot || id == ATTR_unit || id == ATTR_tile || id == ATTR_part ||
           id == ATTR_pieces || id == ATTR_product || id == ATTR_small;
}

static bool
in_range(int64_t i, int64_t lowest)
{
    return i >= lowest && i <= IR_MAX_DIM;
}

static bool
ints_allowed(const Attr *attr)
{
    bool ok = attr->count >= 1 && attr->count <= IR_MAX_OUT;
    for (int i = 0; ok && i < attr->count; i++)
        ok = in_range(attr->ints[i], 1);
    return ok;
}

static bool
nums_allowed(const Attr *attr)
{
    bool ok = attr->count >= 1 && attr->count <= IR_MAX_NUMS;
    for (int i = 0; ok && i < attr->count; i++)
        ok = isfinite(attr->nums[i]);
    return ok;
}

bool
attr_check(Arena *arena, const Attr *attr, const char **why)
{
    const char *words = attr_words[attr->id];
    const char *expected = NULL;
    switch (attr_info[attr->id].kind) {
    case AK_INT:
        if (attr->id == ATTR_normalise)
            expected = attr->i == 0 || attr->i == 1 ? NULL : "0 or 1";
        else if (attr->id == ATTR_column)
            expected = in_range(attr->i, 0) ? NULL : "a whole number from 0 to 2^40";
        else if (!in_range(attr->i, 1))
            expected = "a whole number from 1 to 2^40";
        else if (attr->id == ATTR_pieces && attr->i > IR_MAX_PIECES)
            expected = arena_printf(arena, "a whole number from 1 to %d", IR_MAX_PIECES);
        break;
    case AK_CHUNK:
        if (!in_range(attr->i, CHUNK_AUTO))
            expected = "auto, all or a whole number from 1 to 2^40";
        break;
    case AK_NUM:
        if (!isfinite(attr->num) || attr->num < 0)
            expected = "a number that is not negative";
        break;
    case AK_INTS:
        if (!ints_allowed(attr))
            expected = arena_printf(arena, "1 to %d whole numbers from 1 to 2^40", IR_MAX_OUT);
        break;
    case AK_NUMS:
        if (attr->id == ATTR_range && (attr->count != 2 || !(attr->nums[0] <= attr->nums[1])))
            expected = "two numbers, the lower one first";
        else if (attr->id != ATTR_range && !nums_allowed(attr))
            expected = arena_printf(arena, "1 to %d numbers", IR_MAX_NUMS);
        break;
    case AK_WORD:
        if (!attr->word || (words && !word_in(words, attr->word)))
            expected = words ? arena_printf(arena, "one of: %s", words) : "a word";
        break;
    }
    if (!expected)
        return true;
    StrBuf sb = {0};
    Attr copy = *attr;
    const AttrList alone = {.count = 1, .items = &copy};
    attrs_print(&sb, &alone);
    *why = arena_printf(arena, "the attribute is%s, expected %s", sb_text(&sb), expected);
    sb_free(&sb);
    return false;
}

/* ---- nodes -------------------------------------------------------------------------------- */

static bool
fault(ShapeResult *r, int operand, const char *why)
{
    r->operand = operand;
    r->why = why;
    return false;
}

/* The input that says which rows an op takes; NULL: none does. */
static const InputInfo *
input_of(Op op)
{
    for (int i = 0; i < INPUT_COUNT; i++)
        if (input_info[i].op == op)
            return &input_info[i];
    return NULL;
}

static const char *
kind_text(Arena *arena, Op op, char letter)
{
    if (letter == 'i')
        return arena_printf(arena, "the input `%s: %s`, %s", input_of(op)->name,
                            type_name(arena, &input_of(op)->type), input_of(op)->doc);
    if (letter == 's')
        return "a state";
    if (letter == 'v')
        return "an activation or a weight";
    return isupper((unsigned char)letter) ? "a weight, or a value made from weights only"
                                          : "an activation";
}

static const char *
value_text(const Value *v)
{
    switch (v->kind) {
    case VALUE_INPUT:
        return "an input";
    case VALUE_WEIGHT:
        return "a weight";
    case VALUE_STATE:
        return "a state";
    case VALUE_NUMBER:
        return "a number";
    case VALUE_RESULT:
        break;
    }
    return v->is_param ? "made from weights only" : "an activation";
}

static bool
is_kind(const Value *v, Op op, char letter)
{
    if (letter == 'i')
        return value_input(v) == input_of(op) && type_equal(&v->type, &input_of(op)->type);
    if (letter == 's' || v->kind == VALUE_STATE)
        return letter == 's' && v->kind == VALUE_STATE;
    return letter == 'v' || v->is_param == (isupper((unsigned char)letter) != 0);
}

static bool
check_operand(const Node *node, int slot, bool complete, ShapeResult *r)
{
    char letter;
    bool optional;
    const Value *v = slot < node->nin ? node->in[slot] : NULL;
    if (!op_operand(node->op, slot, &letter, &optional))
        return !v || fault(r, slot, arena_printf(r->arena, "it has more than %d operands", slot));
    if (!v && (optional || (letter == 's' && !complete)))
        return true;
    if (!v)
        return fault(r, -1,
                     arena_printf(r->arena, "operand %d is missing, expected %s", slot + 1,
                                  kind_text(r->arena, node->op, letter)));
    if (is_kind(v, node->op, letter))
        return true;
    return fault(r, slot,
                 arena_printf(r->arena, "operand %d, `%s`, is %s, expected %s", slot + 1, v->name,
                              value_text(v), kind_text(r->arena, node->op, letter)));
}

static bool
check_attr(const Node *node, const Attr *attr, ShapeResult *r)
{
    bool required;
    const char *name = attr_info[attr->id].name, *takes = op_info[node->op].attrs, *why;
    if (!op_takes_attr(node->op, attr->id, &required))
        return fault(r, -1,
                     arena_printf(r->arena, "it has no attribute `%s`; it takes %s", name,
                                  *takes ? takes : "none"));
    if (!attr_check(r->arena, attr, &why))
        return fault(r, -1, why);
    const char *dots = op_slot(node->op, 'W') >= 0 ? "f32 bf16x3" : "auto f32 bf16";
    if (attr->id == ATTR_dot && !word_in(dots, attr->word))
        return fault(
            r, -1, arena_printf(r->arena, "dot=%s, but the op takes one of: %s", attr->word, dots));
    if (required && attr->id == ATTR_chunk && attr->i == CHUNK_AUTO)
        return fault(r, -1,
                     "chunk=auto, but the op already has its form: expected a length or all");
    return true;
}

static bool
check_attrs(const Node *node, ShapeResult *r)
{
    for (int i = 0; i < node->attrs.count; i++)
        if (!check_attr(node, &node->attrs.items[i], r))
            return false;
    for (int id = 0; id < ATTR_COUNT; id++) {
        bool required;
        if (!op_takes_attr(node->op, (AttrId)id, &required) || !required)
            continue;
        if (!attrs_find(&node->attrs, (AttrId)id))
            return fault(r, -1,
                         arena_printf(r->arena, "attribute `%s` is missing: %s", attr_info[id].name,
                                      attr_info[id].doc));
    }
    return true;
}

bool
node_check(const Node *node, bool complete, ShapeResult *result)
{
    for (int slot = 0; slot < IR_MAX_IN; slot++)
        if (!check_operand(node, slot, complete, result))
            return false;
    return check_attrs(node, result) && op_info[node->op].shape(node, result);
}
