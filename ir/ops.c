/* ir/ops.c -- the tables that types.def, attrs.def and ops.def make, and questions about their
 * rows. */
#include <string.h>

#include "ir/internal.h"
#include "ir/ref.h"

const DtypeInfo dtype_info[DTYPE_COUNT] = {
#define TYPE(id, text, size, st, floating, meaning)                                                \
    [DTYPE_##id] = {                                                                               \
        .name = text,                                                                              \
        .bytes = size,                                                                             \
        .safetensors = st,                                                                         \
        .is_float = floating,                                                                      \
        .doc = meaning,                                                                            \
    },
#include "ir/types.def"
#undef TYPE
};

const FormatInfo format_info[FORMAT_COUNT] = {
#define FORMAT(id, reals, bits, group, block, tolerance, doc)                                      \
    [FORMAT_##id] = {#id, DTYPE_##reals, bits, group, block, tolerance, doc},
#include "ir/formats.def"
#undef FORMAT
};

const BlocksInfo blocks_info[BLOCKS_COUNT] = {
    [BLOCKS_none] = {.name = "none"},
#define BLOCKS(id, bits, group, scales) [BLOCKS_##id] = {#id, bits, group, DTYPE_##scales},
#include "ir/blocks.def"
#undef BLOCKS
};

const AttrInfo attr_info[ATTR_COUNT] = {
#define ATTR(id, value, meaning) [ATTR_##id] = {.name = #id, .kind = AK_##value, .doc = meaning},
#include "ir/attrs.def"
#undef ATTR
};

const OpInfo op_info[OP_COUNT] = {
#define OP(id, in, out, class, legal, shapes, works, counted, attributes, marks, meaning)          \
    [OP_##id] = {                                                                                  \
        .name = #id,                                                                               \
        .operands = in,                                                                            \
        .results = out,                                                                            \
        .cls = CLASS_##class,                                                                      \
        .stages = legal,                                                                           \
        .shape = shape_##shapes,                                                                   \
        .work = work_##works,                                                                      \
        .kernel = OP_##counted,                                                                    \
        .attrs = attributes,                                                                       \
        .flags = marks,                                                                            \
        .ref = ref_##id,                                                                           \
        .doc = meaning,                                                                            \
    },
#include "ir/ops.def"
#undef OP
};

const char *const class_name[] = {
    [CLASS_POINTWISE] = "POINTWISE", [CLASS_ROWWISE] = "ROWWISE", [CLASS_CONTRACT] = "CONTRACT",
    [CLASS_RECURRENT] = "RECURRENT", [CLASS_CONV] = "CONV",       [CLASS_ATTEND] = "ATTEND",
    [CLASS_GATHER] = "GATHER",       [CLASS_VIEW] = "VIEW",       [CLASS_LAYOUT] = "LAYOUT",
};

const char *const stage_name[3] = {
    [STAGE_MODEL] = "model",
    [STAGE_LOWERED] = "lowered",
    [STAGE_KERNEL] = "kernel",
};

const char *const space_name[] = {
    [SPACE_NONE] = "none",     [SPACE_SLAB] = "slab",     [SPACE_PARAM] = "param",
    [SPACE_WEIGHT] = "weight", [SPACE_STATE] = "state",   [SPACE_KEPT] = "kept",
    [SPACE_INPUT] = "input",   [SPACE_OUTPUT] = "output",
};

/* Index of name among `count` entries `stride` bytes apart that start with a const char *, or -1.
 */
static int
index_of(const char *name, size_t len, const void *table, size_t count, size_t stride)
{
    for (size_t i = 0; i < count; i++) {
        const char *entry;
        memcpy(&entry, (const char *)table + i * stride, sizeof entry);
        if (strlen(entry) == len && memcmp(entry, name, len) == 0)
            return (int)i;
    }
    return -1;
}

bool
dtype_by_name(const char *name, size_t len, Dtype *out)
{
    const int i = index_of(name, len, dtype_info, DTYPE_COUNT, sizeof dtype_info[0]);
    if (i >= 0)
        *out = (Dtype)i;
    return i >= 0;
}

bool
blocks_by_name(const char *name, size_t len, WeightBlocks *out)
{
    const int i = index_of(name, len, blocks_info, BLOCKS_COUNT, sizeof blocks_info[0]);
    if (i >= 0)
        *out = (WeightBlocks)i;
    return i >= 0;
}

bool
format_by_name(const char *name, size_t len, Format *out)
{
    const int i = index_of(name, len, format_info, FORMAT_COUNT, sizeof format_info[0]);
    if (i >= 0)
        *out = (Format)i;
    return i >= 0;
}

bool
attr_by_name(const char *name, size_t len, AttrId *out)
{
    const int i = index_of(name, len, attr_info, ATTR_COUNT, sizeof attr_info[0]);
    if (i >= 0)
        *out = (AttrId)i;
    return i >= 0;
}

bool
op_by_name(const char *name, size_t len, Op *out)
{
    const int i = index_of(name, len, op_info, OP_COUNT, sizeof op_info[0]);
    if (i >= 0)
        *out = (Op)i;
    return i >= 0;
}

bool
stage_by_name(const char *name, size_t len, Stage *out)
{
    const int i = index_of(name, len, stage_name, COUNT_OF(stage_name), sizeof stage_name[0]);
    if (i >= 0)
        *out = (Stage)i;
    return i >= 0;
}

bool
space_by_name(const char *name, size_t len, Space *out)
{
    const int i = index_of(name, len, space_name, COUNT_OF(space_name), sizeof space_name[0]);
    if (i >= 0)
        *out = (Space)i;
    return i >= 0;
}

bool
op_has_flag(Op op, char flag)
{
    return strchr(op_info[op].flags, flag) != NULL;
}

bool
op_in_stage(Op op, Stage stage)
{
    static const char letter[] = {
        [STAGE_MODEL] = 'M',
        [STAGE_LOWERED] = 'L',
        [STAGE_KERNEL] = 'K',
    };
    return strchr(op_info[op].stages, letter[stage]) != NULL;
}

bool
op_has_state(Op op)
{
    return strchr(op_info[op].operands, 's') != NULL;
}

bool
op_takes_attr(Op op, AttrId id, bool *required)
{
    const char *name = attr_info[id].name;
    const size_t len = strlen(name);
    for (const char *p = op_info[op].attrs; *p; p += strspn(p, " ")) {
        const size_t word = strcspn(p, " ");
        const bool optional = word > 0 && p[word - 1] == '?';
        if (word - optional == len && memcmp(p, name, len) == 0) {
            *required = !optional;
            return true;
        }
        p += word;
    }
    return false;
}

bool
op_has_forms(Op op)
{
    bool required;
    return op_takes_attr(op, ATTR_form, &required);
}

int64_t
node_value_dim(const Node *attention)
{
    return node_int(attention, ATTR_value_dim, node_int(attention, ATTR_head_dim, 1));
}

bool
node_decays_by_channel(const Node *n)
{
    enum { DECAY = 3 };
    return op_has_flag(n->op, 'V') && type_width(&n->in[DECAY]->type) > node_int(n, ATTR_heads, 1);
}

bool
node_by_chunks(const Node *n)
{
    const char *form = node_word(n, ATTR_form, "recurrent");
    return op_has_flag(n->op, 'S') || strcmp(form, "chunked") == 0 ||
           strcmp(form, "quadratic") == 0;
}

bool
op_operand(Op op, int i, char *letter, bool *optional)
{
    const char *p = op_info[op].operands;
    if (i < 0 || i >= IR_MAX_IN)
        return false;
    for (int slot = 0; *p; slot++) {
        const bool repeats = p[1] == '*';
        if (slot == i || repeats) {
            *letter = p[0];
            *optional = p[1] == '?' || repeats;
            return true;
        }
        p += p[1] == '?' ? 2 : 1;
    }
    return false;
}

int
op_slot(Op op, char letter)
{
    char other;
    bool optional;
    int slot = 0;
    while (op_operand(op, slot, &other, &optional) && other != letter)
        slot++;
    return op_operand(op, slot, &other, &optional) ? slot : -1;
}

Value *
node_operand(const Node *n, char letter)
{
    const int slot = op_slot(n->op, letter);
    return slot >= 0 && slot < n->nin ? n->in[slot] : NULL;
}

int64_t
node_experts(const Node *n)
{
    const bool chosen = op_slot(n->op, 'e') >= 0;
    return chosen ? node_operand(n, 'W')->type.shape.dim[0].n : 0;
}

Type
node_matrix(const Node *n, const Value *v)
{
    Type type = v->type;
    if (op_slot(n->op, 'e') < 0 || !type.shape.rank)
        return type;
    type.shape.rank--;
    for (int i = 0; i < type.shape.rank; i++)
        type.shape.dim[i] = type.shape.dim[i + 1];
    return type;
}

bool
node_is_recurrence(const Node *n)
{
    const Value *x = node_operand(n, 'x');
    const bool steps = op_info[n->op].cls == CLASS_RECURRENT || op_has_flag(n->op, 'S');
    return steps && x && shape_equal(&x->type.shape, &n->out[0]->type.shape);
}

bool
node_factors_repeat(const Node *n)
{
    const Value *weight = node_operand(n, 'W');
    const int64_t groups = node_int(n, ATTR_groups, 1);
    if (!weight || groups == 1 || weight->type.shape.rank != 1 ||
        !dtype_info[weight->type.dtype].is_float)
        return false;
    return type_width(&weight->type) * groups == type_width(&n->in[0]->type);
}

bool
node_gives_state(const Node *n)
{
    return op_has_flag(n->op, 'A');
}

bool
node_narrows(const Node *n)
{
    return n->nin == 1 && n->nout == 1 &&
           shape_equal(&n->in[0]->type.shape, &n->out[0]->type.shape) &&
           dtype_info[n->out[0]->type.dtype].bytes < dtype_info[n->in[0]->type.dtype].bytes;
}

bool
node_in_epilogue(const Node *n)
{
    const Value *x = op_has_flag(n->op, 'E') ? node_operand(n, 'x') : NULL;
    const Node *from = x ? x->def : NULL;
    if (from && node_narrows(from) && from->kernel == n->kernel)
        from = from->in[0]->def;
    return from && from->kernel && from->kernel == n->kernel &&
           op_info[from->op].cls == CLASS_CONTRACT;
}

bool
node_anchors(const Node *n)
{
    return op_info[n->op].cls != CLASS_POINTWISE && !node_in_epilogue(n);
}

bool
kernel_on_unit(const Kernel *k)
{
    const Attr *unit = attrs_find(&k->attrs, ATTR_unit);
    return unit && strcmp(unit->word, "matrix") == 0;
}

Op
kernel_op(const Kernel *k)
{
    return k->anchor ? op_info[k->anchor->op].kernel : OP_COUNT;
}
