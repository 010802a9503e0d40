/* runtime/gguf_read.c -- the tensors of a GGUF file as those of the checkpoint that it was made of:
 * under their names there, and what the converter changed changed back (gguf_tensors.def).
 *
 * What kernels read lies in the file. Types with blocks stand for F32 and are unpacked where they
 * are read (blocks.h); tensors whose values are others here become F32, and rows that stand in
 * another order are copied. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/blocks.h"
#include "runtime/gguf.h"
#include "runtime/gguf_types.h"
#include "runtime/tensors.h"

/* What stands in another order there, and the numbers that are counted by. */
typedef enum {
    ORDER_same,
    ORDER_queries,
    ORDER_keys,
    ORDER_kinds,
    ORDER_values,
    ORDER_inputs
} Order;

typedef struct {
    bool flat, conv; /* another shape */
    bool log, less;  /* every element is another number */
    bool across;     /* rows are columns */
    Order order;
} Change;

static const Change change_same = {0}, change_flat = {.flat = true}, change_conv = {.conv = true},
                    change_log = {.log = true}, change_less = {.less = true},
                    change_queries = {.order = ORDER_queries}, change_keys = {.order = ORDER_keys},
                    change_kinds = {.order = ORDER_kinds}, change_across = {.across = true},
                    change_values = {.order = ORDER_values},
                    change_values_conv = {.conv = true, .order = ORDER_values},
                    change_values_log = {.log = true, .order = ORDER_values},
                    change_inputs = {.order = ORDER_inputs};

typedef struct {
    const char *arch, *from, *to;
    const Change *change;
} Row;

static const Row rows[] = {
#define GGUF_TENSOR(arch, from, to, change) {arch, from, to, &change_##change},
#include "runtime/gguf_tensors.def"
#undef GGUF_TENSOR
};

/* How a tensor's data come to be. */
typedef struct {
    const RtGgufTensor *there;
    const RtGgufType *type;
    Change change;
    RtTurn rows, columns;
    bool made; /* else they lie in the file */
} Plan;

typedef struct {
    RtTensorFile *file;
    const RtGguf *gguf;
    RtGgufArch arch;
    char *room;      /* for the next name */
    int64_t layers;  /* those behind, of heads that predict several tokens, are not the model's */
    size_t made;     /* bytes of file->made that are in use */
    int unpacked;    /* tensors with blocks */
    char types[256]; /* theirs, each once */
} Reader;

/* ---- names --------------------------------------------------------------------------------- */

/* Whether a name is a pattern's, up to " & "; its digits where the pattern has #. */
static bool
name_fits(const char *pattern, RtGgufText name, RtGgufText *number)
{
    size_t at = 0;
    for (; *pattern && *pattern != ' '; pattern++) {
        if (*pattern != '#') {
            if (at == name.len || name.text[at++] != *pattern)
                return false;
            continue;
        }
        number->text = name.text + at;
        while (at < name.len && name.text[at] >= '0' && name.text[at] <= '9')
            at++;
        number->len = (size_t)(name.text + at - number->text);
        if (number->len == 0)
            return false;
    }
    return at == name.len;
}

/* Whether the layer has the other tensor that a pattern asks for. */
static bool
has_other(const Reader *r, const char *pattern, RtGgufText number)
{
    char name[128];
    const char *other = strstr(pattern, " & ");
    if (!other || number.len > 20)
        return !other;
    snprintf(name, sizeof name, "blk.%.*s.%s", (int)number.len, number.text, other + 3);
    return rt_gguf_tensor_named(r->gguf, name) != NULL;
}

/* Whether a tensor is of a layer that predicts tokens behind the next. */
static bool
is_ahead(const Reader *r, RtGgufText name)
{
    RtGgufText number = {0};
    int64_t layer = 0;
    if (name.len < 4 || memcmp(name.text, "blk.", 4) != 0)
        return false;
    number = (RtGgufText){name.text + 4, name.len - 4};
    for (size_t i = 0; i < number.len && i < 9 && number.text[i] >= '0' && number.text[i] <= '9';
         i++)
        layer = layer * 10 + (number.text[i] - '0');
    return layer >= r->layers;
}

/* Writes a tensor's name here, and returns its row; NULL: it keeps its name. */
static const Row *
put_name(Reader *r, RtGgufText name, const char **out)
{
    RtGgufText number = {0};
    const Row *row = NULL;
    for (int rank = 0; r->arch.rows[rank] && !row; rank++)
        for (size_t i = 0; i < RT_COUNT(rows) && !row; i++)
            if (strcmp(rows[i].arch, r->arch.rows[rank]) == 0 &&
                name_fits(rows[i].from, name, &number) && has_other(r, rows[i].from, number))
                row = &rows[i];
    *out = r->room;
    if (is_ahead(r, name)) {
        row = NULL;
        r->room += sprintf(r->room, "mtp.");
    }
    for (const char *at = row ? row->to : ""; *at; at++) {
        const size_t n = *at == '#' ? number.len : 1;
        memcpy(r->room, *at == '#' ? number.text : at, n);
        r->room += n;
    }
    if (!row) {
        memcpy(r->room, name.text, name.len);
        r->room += name.len;
    }
    *r->room++ = '\0';
    return row;
}

/* ---- shapes -------------------------------------------------------------------------------- */

static void
set_shape(RtTensor *t, const RtGgufTensor *from, Change change)
{
    t->rank = from->rank;
    for (int i = 0; i < from->rank; i++)
        t->dim[i] = from->dim[i];
    if (from->bytes == 0) /* however large its other dimensions are */
        return;
    if (change.flat) { /* the product fits: bytes were counted */
        t->dim[0] = 1;
        for (int i = 0; i < from->rank; i++)
            t->dim[0] *= from->dim[i];
        t->rank = 1;
    }
    if (change.log && t->rank == 2 && t->dim[1] == 1)
        t->rank = 1;
    if (change.conv && t->rank >= 2) { /* [C,1,K] of any [.,C,.,K] */
        const int64_t width = t->dim[t->rank - 1];
        for (int i = 1; i < from->rank - 1; i++)
            t->dim[0] *= from->dim[i];
        t->dim[1] = 1;
        t->dim[2] = width;
        t->rank = 3;
    }
    if (change.across && t->rank >= 2) {
        t->dim[t->rank - 1] = from->dim[from->rank - 2];
        t->dim[t->rank - 2] = from->dim[from->rank - 1];
    }
}

/* ---- values -------------------------------------------------------------------------------- */

/* Every element is another number here. */
static bool
is_computed(Change change)
{
    return change.log || change.less;
}

/* What is made is F32, of whatever type it is there. */
static bool
becomes_f32(const Plan *p)
{
    return is_computed(p->change) || p->type->block > 1;
}

static size_t
elements_of(const Plan *p)
{
    return p->there->bytes / (size_t)p->type->bytes * (size_t)p->type->block;
}

static bool
made_bytes(const Plan *p, size_t *out)
{
    const size_t size = becomes_f32(p) ? sizeof(float) : (size_t)p->type->bytes;
    return rt_mul(elements_of(p), size, out) && rt_round_up(*out, RT_LINE, out);
}

static float
plain_at(const RtGgufType *type, const char *at)
{
    double wide = 0;
    float f = 0;
    uint32_t bits = (uint32_t)rt_little_endian(at, type->bytes == 2 ? 2 : 4);
    if (strcmp(type->name, "F64") == 0) {
        memcpy(&wide, at, sizeof wide);
        return (float)wide;
    }
    if (strcmp(type->name, "F16") == 0)
        return rt_gguf_half((const unsigned char *)at);
    if (strcmp(type->name, "BF16") == 0)
        bits <<= 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* False: a value has none. */
static bool
compute(const Plan *p, float *out)
{
    const RtGgufTensor *t = p->there;
    const size_t count = t->bytes / (size_t)p->type->bytes;
    const size_t row = t->rank > 1 ? (size_t)t->dim[t->rank - 1] : 1;
    for (size_t i = 0; i < count; i++) {
        const float x = plain_at(p->type, t->data + i * (size_t)p->type->bytes);
        if (p->change.log && (!(x < 0) || isinf(x)))
            return false;
        out[rt_turn_place(&p->rows, i / row) * row + i % row] = p->change.log ? logf(-x) : x - 1;
    }
    return true;
}

/* Each element of `bytes` bytes. */
static void
turn_columns(const RtTurn *turn, const char *from, size_t columns, size_t bytes, char *to)
{
    for (size_t i = 0; i < columns; i++)
        memcpy(to + rt_turn_place(turn, i) * bytes, from + i * bytes, bytes);
}

static void
make_rows(const Plan *p, char *out)
{
    const RtGgufTensor *t = p->there;
    if (t->bytes == 0) /* however many rows it says it has */
        return;
    const size_t count = t->rank > 1 || rt_turns(&p->rows) ? (size_t)t->dim[0] : 1;
    const size_t bytes = t->bytes / count, one = (size_t)p->type->bytes;
    for (size_t i = 0; i < count; i++) {
        const char *from = t->data + i * bytes;
        char *to = out + rt_turn_place(&p->rows, i) * bytes;
        if (rt_turns(&p->columns))
            turn_columns(&p->columns, from, bytes / one, one, to);
        else
            memcpy(to, from, bytes);
    }
}

/* One row of a matrix into a column, each element of `bytes` bytes. */
static void
put_column(const char *row, size_t width, size_t height, size_t bytes, char *column)
{
    for (size_t i = 0; i < width; i++)
        memcpy(column + i * height * bytes, row + i * bytes, bytes);
}

/* Columns of each of a stack of matrices become its rows. */
static void
make_across(const Plan *p, char *out)
{
    enum { MOST_BLOCK = 256 };
    const RtGgufTensor *t = p->there;
    if (t->bytes == 0)
        return;
    const size_t width = (size_t)t->dim[t->rank - 1], height = (size_t)t->dim[t->rank - 2];
    const size_t block = (size_t)p->type->block, blocks = width / block;
    const size_t bytes = becomes_f32(p) ? sizeof(float) : (size_t)p->type->bytes;
    const char *from = t->data;
    for (size_t i = 0, all = elements_of(p) / width; i < all; i++) {
        char *column = out + (i / height * height * width + i % height) * bytes;
        if (block == 1) {
            put_column(from, width, height, bytes, column);
            from += width * bytes;
            continue;
        }
        for (size_t b = 0; b < blocks; b++, from += p->type->bytes) {
            float x[MOST_BLOCK];
            rt_gguf_unpack(p->type, (const unsigned char *)from, x);
            put_column((const char *)x, block, height, bytes, column + b * block * height * bytes);
        }
    }
}

/* ---- what stands in another order ----------------------------------------------------------- */

/* The number of a key "ARCHITECTURE.what", or the greatest of its list (0 in layers without
 * attention). */
static int64_t
number_of(const Reader *r, const char *what)
{
    char key[128];
    int64_t most = 0;
    snprintf(key, sizeof key, "%s.%s", r->arch.name, what);
    const RtGgufKey *found = rt_gguf_find(r->gguf, key);
    for (uint64_t i = 0; found && i < found->count; i++) {
        int64_t n = 0;
        most = rt_gguf_int(found, i, &n) && n > most ? n : most;
    }
    return most;
}

/* Of the rows of each head the two that a rotation turns are neighbours there: [half,2] for
 * [2,half]. */
static ssmc_status
turn_pairs(const Reader *r, const char *name, Plan *p)
{
    static const char all[] = "attention.head_count", some[] = "attention.head_count_kv";
    const RtGgufTensor *t = p->there;
    char key[128];
    snprintf(key, sizeof key, "%s.%s", r->arch.name, some);
    const bool keys = p->change.order == ORDER_keys && rt_gguf_find(r->gguf, key);
    const int64_t heads = number_of(r, keys ? some : all);
    snprintf(key, sizeof key, "%s.%s", r->arch.name, keys ? some : all);
    if (heads <= 0)
        return rt_fail(SSMC_BAD_FILE, "%s: %s is no number of heads", r->file->path, key);
    if (t->rank < 1 || t->rank > 2 || t->dim[0] % heads || t->dim[0] / heads % 2)
        return rt_fail(
            SSMC_BAD_FILE,
            "%s: tensor '%s' has %lld rows, which are no even number for each of %s = %lld",
            r->file->path, rt_quote(name).text, t->rank ? (long long)t->dim[0] : 1LL, key,
            (long long)heads);
    p->rows = (RtTurn){.unit = 1, .a = (size_t)(t->dim[0] / heads / 2), .b = 2};
    return SSMC_OK;
}

/* Rows of queries, keys and values of all heads, each kind for itself: [3,heads] for [heads,3]. */
static ssmc_status
turn_kinds(const Reader *r, const char *name, Plan *p)
{
    enum { KINDS = 3 };
    const RtGgufTensor *t = p->there;
    const int64_t heads = number_of(r, "attention.head_count");
    if (heads <= 0 || heads > INT32_MAX || t->rank < 1 || t->rank > 2 ||
        t->dim[0] % (KINDS * heads))
        return rt_fail(SSMC_BAD_FILE,
                       "%s: tensor '%s' has %lld rows, which are not those of queries, keys and "
                       "values of %s.attention.head_count = %lld",
                       r->file->path, rt_quote(name).text, t->rank ? (long long)t->dim[0] : 1LL,
                       r->arch.name, (long long)heads);
    p->rows =
        (RtTurn){.unit = (size_t)(t->dim[0] / (KINDS * heads)), .a = KINDS, .b = (size_t)heads};
    return SSMC_OK;
}

/* Value heads stand there with those of a key head apart, [values of a key head, key heads] for the
 * other way round (llama.cpp's _LinearAttentionVReorderBase). With rows that are not of value heads
 * before them: queries and keys. */
static ssmc_status
turn_values(const Reader *r, const char *name, Plan *p)
{
    const RtGgufTensor *t = p->there;
    const int64_t groups = number_of(r, "ssm.group_count"),
                  heads = number_of(r, "ssm.time_step_rank");
    const int64_t inner = number_of(r, "ssm.inner_size"), state = number_of(r, "ssm.state_size");
    const bool columns = p->change.order == ORDER_inputs;
    if (groups <= 0 || heads <= 0 || heads % groups || inner <= 0 || inner % heads || state < 0)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: %s.ssm.group_count, time_step_rank and inner_size do not fit together",
                       r->file->path, r->arch.name);
    const int64_t count = t->rank < 1 || (columns && t->rank != 2) ? 0 : t->dim[columns ? 1 : 0];
    const int64_t of_values = count == heads ? heads : inner, before = count - of_values;
    if (before != 0 && (before < 0 || columns || before % groups || before / groups % 2 ||
                        before / groups / 2 != state))
        return rt_fail(SSMC_BAD_FILE,
                       "%s: tensor '%s' has %lld %s, which are not those of %lld value heads",
                       r->file->path, rt_quote(name).text, (long long)count,
                       columns ? "columns" : "rows", (long long)heads);
    *(columns ? &p->columns : &p->rows) = (RtTurn){.fixed = (size_t)before,
                                                   .unit = (size_t)(of_values / heads),
                                                   .a = (size_t)(heads / groups),
                                                   .b = (size_t)groups};
    return SSMC_OK;
}

static ssmc_status
plan_tensor(const Reader *r, const char *name, Plan *p)
{
    ssmc_status status = SSMC_OK;
    switch (p->change.order) {
    case ORDER_same:
        break;
    case ORDER_queries:
    case ORDER_keys:
        status = turn_pairs(r, name, p);
        break;
    case ORDER_kinds:
        status = turn_kinds(r, name, p);
        break;
    case ORDER_values:
    case ORDER_inputs:
        status = turn_values(r, name, p);
        break;
    }
    const bool changed = is_computed(p->change) || rt_turns(&p->rows) || rt_turns(&p->columns);
    p->made = (p->type->block == 1 && changed) || p->change.across;
    if (p->change.across && p->there->rank < 2)
        status = rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' is a vector; expected matrices",
                         r->file->path, rt_quote(name).text);
    if (p->type->block > 1 && status == SSMC_OK &&
        (is_computed(p->change) || (rt_turns(&p->rows) && p->there->rank < 2)))
        status = rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' is %s; expected F32, F16, BF16 or F64",
                         r->file->path, rt_quote(name).text, p->type->name);
    return status;
}

/* ---- tensors -------------------------------------------------------------------------------- */

/* For the note. */
static void
count_unpacked(Reader *r, const RtGgufType *type)
{
    r->unpacked++;
    if (strstr(r->types, type->name) || strlen(r->types) + 16 >= sizeof r->types)
        return;
    strcat(r->types, r->types[0] ? ", " : "");
    strcat(r->types, type->name);
}

/* It stays in the file; what it stands for is F32. */
static void
put_blocks(Reader *r, RtTensor *to, const Plan *p)
{
    const RtGgufTensor *t = p->there;
    RtBlocks *b = &r->file->blocks[r->unpacked];
    const size_t columns = t->rank ? (size_t)t->dim[t->rank - 1] : 1;
    const size_t elements = t->bytes / (size_t)p->type->bytes * (size_t)p->type->block;
    *b = (RtBlocks){.type = p->type,
                    .data = t->data,
                    .bytes = t->bytes,
                    .rows = elements ? elements / columns : 0,
                    .columns = columns,
                    .row_turn = p->rows,
                    .column_turn = p->columns};
    to->blocks = b;
    to->data = NULL;
    to->dtype = rt_blocks_dtype(b, RT_WHOLE);
    to->bytes = rt_blocks_bytes(b, RT_WHOLE);
    count_unpacked(r, p->type);
}

static ssmc_status
make_tensor(Reader *r, RtTensor *to, const Plan *p)
{
    size_t bytes = 0;
    char *out = r->file->made + r->made;
    made_bytes(p, &bytes);
    r->made += bytes;
    to->data = out;
    if (becomes_f32(p)) {
        to->dtype = rt_dtype_name("F32");
        to->bytes = elements_of(p) * sizeof(float);
    }
    if (p->change.across)
        make_across(p, out);
    else if (!is_computed(p->change))
        make_rows(p, out);
    else if (!compute(p, (float *)(void *)out))
        return rt_fail(SSMC_BAD_FILE,
                       "%s: tensor '%s', a state's decay, has a value that is not below 0",
                       r->file->path, rt_quote(to->name).text);
    return SSMC_OK;
}

/* ---- the file ------------------------------------------------------------------------------ */

static ssmc_status
read_architecture(Reader *r)
{
    if (!rt_gguf_arch(r->gguf, &r->arch))
        return rt_fail(SSMC_BAD_FILE, "%s: it has no general.architecture", r->file->path);
    if (!rt_gguf_arch_known(&r->arch))
        return rt_fail(SSMC_BAD_FILE,
                       "%s: its general.architecture is '%s'; GGUF files are read of %s",
                       r->file->path, rt_quote(r->arch.name).text, rt_gguf_arch_names());
    return SSMC_OK;
}

static void
count_layers(Reader *r)
{
    int64_t ahead;
    const int64_t all = rt_gguf_layers(r->gguf, r->arch.name, &ahead);
    r->layers = ahead ? all - ahead : INT64_MAX;
}

static ssmc_status
make_room(Reader *r)
{
    enum { LONGEST_NAME = 128 };
    const size_t count = rt_gguf_tensors(r->gguf);
    size_t names = 0;
    for (size_t i = 0; i < count; i++)
        names += rt_gguf_tensor(r->gguf, i)->name.len + LONGEST_NAME;
    const ssmc_status status = rt_tensors_room(r->file, count, names);
    r->room = r->file->names;
    return status;
}

static ssmc_status
plan_tensors(Reader *r, Plan *plan, size_t count)
{
    RtTensorFile *file = r->file;
    size_t made = RT_LINE, bytes = 0; /* what has no bytes lies somewhere, too */
    bool some = false;
    ssmc_status status = SSMC_OK;
    for (size_t i = 0; i < count && status == SSMC_OK; i++) {
        const RtGgufTensor *t = rt_gguf_tensor(r->gguf, i);
        RtTensor *to = &file->tensors[file->count++];
        const Row *row = put_name(r, t->name, &to->name);
        plan[i] = (Plan){
            .there = t, .type = rt_gguf_type(t->type), .change = row ? *row->change : change_same};
        set_shape(to, t, plan[i].change);
        to->dtype = rt_dtype_name(plan[i].type->name);
        to->data = t->data;
        to->bytes = t->bytes;
        status = plan_tensor(r, to->name, &plan[i]);
        some = some || plan[i].made;
        if (status == SSMC_OK && plan[i].made &&
            (!made_bytes(&plan[i], &bytes) || !rt_add(made, bytes, &made)))
            status = rt_fail_memory(SIZE_MAX, "converted weights");
        if (status == SSMC_OK && plan[i].type->block > 1 &&
            !rt_mul(t->bytes / (size_t)plan[i].type->bytes,
                    (size_t)plan[i].type->block * sizeof(float), &bytes))
            status = rt_fail_memory(SIZE_MAX, "converted weights");
    }
    if (status == SSMC_OK && some) {
        file->made = rt_pages_new(made);
        file->made_bytes = made;
        if (!file->made)
            status = rt_fail_memory(made, "converted weights");
    }
    return status;
}

static ssmc_status
read_tensors(Reader *r)
{
    const size_t count = rt_gguf_tensors(r->gguf);
    Plan *plan = calloc(count + 1, sizeof *plan);
    if (!plan)
        return rt_fail_memory(count * sizeof *plan, "a list of tensors");
    r->file->blocks = calloc(count + 1, sizeof *r->file->blocks);
    ssmc_status status = r->file->blocks
                             ? plan_tensors(r, plan, count)
                             : rt_fail_memory(count * sizeof *r->file->blocks, "a list of tensors");
    for (size_t i = 0; i < count && status == SSMC_OK; i++)
        if (plan[i].made)
            status = make_tensor(r, &r->file->tensors[i], &plan[i]);
        else if (plan[i].type->block > 1)
            put_blocks(r, &r->file->tensors[i], &plan[i]);
    free(plan);
    return status;
}

static void
put_note(Reader *r)
{
    enum { ROOM = 512 };
    if (!r->unpacked || !(r->file->note = malloc(ROOM)))
        return;
    snprintf(r->file->note, ROOM, "%d tensors of %s", r->unpacked, r->types);
}

ssmc_status
rt_gguf_read(RtTensorFile *file, const char *bytes, size_t len)
{
    const char *why = NULL;
    RtGguf *gguf = rt_gguf_open(file->path, bytes, len, &why);
    if (!gguf)
        return SSMC_BAD_FILE;
    file->nparts = rt_gguf_take_parts(gguf, &file->parts); /* tensors lie in them */
    Reader r = {.file = file, .gguf = gguf};
    ssmc_status status = read_architecture(&r);
    if (status == SSMC_OK)
        count_layers(&r);
    if (status == SSMC_OK)
        status = make_room(&r);
    if (status == SSMC_OK)
        status = read_tensors(&r);
    if (status == SSMC_OK)
        put_note(&r);
    rt_gguf_close(gguf);
    return status;
}

bool
rt_gguf_has_blocks(const char *path)
{
    const char *why = NULL;
    bool has = false;
    RtGguf *gguf = rt_kind_of(path) == RT_KIND_gguf ? rt_gguf_open(path, NULL, 0, &why) : NULL;
    for (size_t i = 0; gguf && i < rt_gguf_tensors(gguf) && !has; i++)
        has = rt_gguf_type(rt_gguf_tensor(gguf, i)->type)->block > 1;
    rt_gguf_close(gguf);
    return has;
}
