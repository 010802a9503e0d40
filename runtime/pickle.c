/* runtime/pickle.c -- a machine for the opcodes that torch.save writes (pickle protocols 2 to 5):
 * a stack of values, marks on it, and a memo of values by number. Every opcode takes at least one
 * byte and makes at most one value, so that the length bounds memory and time. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/pickle.h"
#include "runtime/tensors.h"

enum {
    MOST_BYTES = 1 << 24, /* of a pickle: 200 for a tensor */
    MOST_VALUES = 1 << 22,
    MOST_DEPTH = 1 << 16, /* of the stack: torch.save puts 1000 pairs on it before SETITEMS */
    MOST_MEMO = 1 << 20,
    MOST_TEXT = 1 << 12
};

typedef enum {
#define PICKLE_OP(code, name, operand) OP_##name,
#include "runtime/pickle_ops.def"
#undef PICKLE_OP
} Op;

typedef enum {
    OPERAND_none,
    OPERAND_u1,
    OPERAND_u2,
    OPERAND_u4,
    OPERAND_u8,
    OPERAND_i4,
    OPERAND_f8,
    OPERAND_long1,
    OPERAND_text1,
    OPERAND_text4,
    OPERAND_lines
} Operand;

static const struct {
    unsigned char code;
    Operand operand;
    const char *name;
} ops[] = {
#define PICKLE_OP(code, name, operand) [OP_##name] = {code, OPERAND_##operand, #name},
#include "runtime/pickle_ops.def"
#undef PICKLE_OP
};

static const struct {
    unsigned char code;
    const char *name;
} refused[] = {
#define PICKLE_OP(code, name, operand)
#define PICKLE_REFUSED(code, name) {code, #name},
#include "runtime/pickle_ops.def"
#undef PICKLE_OP
};

static const RtPickleGlobal globals[] = {
#define PICKLE_GLOBAL(module, name, role, dtype) {module, name, ROLE_##role, dtype},
#include "runtime/pickle_globals.def"
#undef PICKLE_GLOBAL
};

typedef struct {
    const char *text; /* no NUL behind it */
    size_t len;
} Text;

/* A pickle being read. */
typedef struct {
    const char *where, *bytes;
    size_t len, at; /* at: behind the opcode and its operand */
    size_t op_at;   /* the opcode */
    Op op;
    int64_t number; /* operand */
    Text text[2];   /* operand */
    RtPickle *out;
    int *stack, *mark, *memo; /* values; heights of the stack; values, -1: none */
    int depth, marks, memos;  /* memos: numbers below it were looked at */
    int value_room, cell_room, stack_room, memo_room; /* as many marks as values on the stack */
    bool done;
} Machine;

/* ---- faults -------------------------------------------------------------------------------- */

static ssmc_status fault(const Machine *m, const char *fmt, ...) RT_PRINTF(2, 3);

static ssmc_status
fault(const Machine *m, const char *fmt, ...)
{
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return rt_fail(SSMC_BAD_FILE, "%s: byte %zu: opcode %s %s", m->where, m->op_at, ops[m->op].name,
                   what);
}

static RtText
quote(Text t)
{
    char text[sizeof(RtText)] = "";
    memcpy(text, t.text, t.len < sizeof text - 1 ? t.len : sizeof text - 1);
    return rt_quote(text);
}

static ssmc_status
opcode_fault(const Machine *m, unsigned code)
{
    const char *name = "of no pickle";
    for (size_t i = 0; i < RT_COUNT(refused); i++)
        if (refused[i].code == code)
            name = refused[i].name;
    return rt_fail(SSMC_BAD_FILE,
                   "%s: byte %zu: opcode 0x%02x (%s) is none of those that tensors are saved with; "
                   "nothing of the file was executed",
                   m->where, m->op_at, code, name);
}

const char *
rt_pickle_kind(const RtPickleValue *value)
{
    switch (value->kind) {
    case PICKLE_none:
        return "None";
    case PICKLE_bool:
        return "a bool";
    case PICKLE_int:
        return "an int";
    case PICKLE_float:
        return "a float";
    case PICKLE_text:
        return "a text";
    case PICKLE_tuple:
        return "a tuple";
    case PICKLE_list:
        return "a list";
    case PICKLE_dict:
        return "a dict";
    case PICKLE_global:
        return value->global->name;
    case PICKLE_call:
        return value->global->role == ROLE_parameter ? "a parameter" : "a tensor";
    case PICKLE_outside:
        return "a storage";
    }
    return "nothing";
}

/* ---- operands ------------------------------------------------------------------------------ */

/* Bytes that the opcode takes from the pickle; NULL: they are not there. */
static const char *
take(Machine *m, size_t bytes)
{
    if (bytes > m->len - m->at)
        return NULL;
    const char *from = m->bytes + m->at;
    m->at += bytes;
    return from;
}

static ssmc_status
short_fault(const Machine *m, size_t bytes)
{
    return fault(m, "takes %zu bytes, but the pickle has %zu more", bytes, m->len - m->at);
}

static ssmc_status
read_number(Machine *m, int bytes, bool has_sign)
{
    const char *from = take(m, (size_t)bytes);
    if (!from)
        return short_fault(m, (size_t)bytes);
    uint64_t n = rt_little_endian(from, bytes);
    if (has_sign && bytes > 0 && bytes < 8 && n >> (bytes * 8 - 1))
        n |= UINT64_MAX << bytes * 8;
    m->number = (int64_t)n;
    return SSMC_OK;
}

static ssmc_status
read_text(Machine *m, int length_bytes)
{
    const ssmc_status status = read_number(m, length_bytes, false);
    if (status != SSMC_OK)
        return status;
    const size_t len = (size_t)m->number;
    m->text[0] = (Text){take(m, len), len};
    if (!m->text[0].text)
        return short_fault(m, len);
    if (len > MOST_TEXT)
        return fault(m, "has a text of %zu bytes; at most %d are read", len, MOST_TEXT);
    return SSMC_OK;
}

static ssmc_status
read_lines(Machine *m)
{
    for (int i = 0; i < 2; i++) {
        const size_t left = m->len - m->at, most = left < MOST_TEXT ? left : MOST_TEXT;
        const char *from = m->bytes + m->at, *end = memchr(from, '\n', most);
        if (!end)
            return fault(m, "has a line that does not end");
        m->text[i] = (Text){from, (size_t)(end - from)};
        m->at += m->text[i].len + 1;
    }
    return SSMC_OK;
}

static ssmc_status
read_operand(Machine *m)
{
    switch (ops[m->op].operand) {
    case OPERAND_none:
        return SSMC_OK;
    case OPERAND_u1:
        return read_number(m, 1, false);
    case OPERAND_u2:
        return read_number(m, 2, false);
    case OPERAND_u4:
        return read_number(m, 4, false);
    case OPERAND_i4:
        return read_number(m, 4, true);
    case OPERAND_u8:
    case OPERAND_f8:
        return read_number(m, 8, false);
    case OPERAND_text1:
        return read_text(m, 1);
    case OPERAND_text4:
        return read_text(m, 4);
    case OPERAND_lines:
        return read_lines(m);
    case OPERAND_long1:
        if (read_number(m, 1, false) != SSMC_OK)
            return short_fault(m, 1);
        return m->number > 8
                   ? fault(m, "has a number of %d bytes; at most 8 are read", (int)m->number)
                   : read_number(m, (int)m->number, true);
    }
    return SSMC_OK;
}

/* ---- values, stack and memo ---------------------------------------------------------------- */

static ssmc_status
too_many(const Machine *m, int most, const char *what)
{
    return fault(m, "makes more than %d %s", most, what);
}

static ssmc_status
push(Machine *m, int value)
{
    if (m->depth == m->stack_room)
        return too_many(m, m->stack_room, "values on the stack");
    m->stack[m->depth++] = value;
    return SSMC_OK;
}

static ssmc_status
push_new(Machine *m, RtPickleValue value)
{
    RtPickle *p = m->out;
    if (p->count == m->value_room)
        return too_many(m, m->value_room, "values");
    value.at = (uint32_t)m->op_at;
    p->value[p->count++] = value;
    return push(m, p->count - 1);
}

static ssmc_status
push_container(Machine *m, RtPickleKind kind)
{
    return push_new(m, (RtPickleValue){.kind = kind, .first = -1, .last = -1});
}

/* Values above the newest mark. */
static int
above_mark(const Machine *m)
{
    return m->depth - (m->marks ? m->mark[m->marks - 1] : 0);
}

static ssmc_status
need(const Machine *m, int values)
{
    const int has = above_mark(m);
    return has >= values ? SSMC_OK
                         : fault(m, "takes %d values from the stack, which has %d", values, has);
}

static RtPickleValue *
top(const Machine *m, int below)
{
    return &m->out->value[m->stack[m->depth - 1 - below]];
}

static ssmc_status
append(Machine *m, RtPickleValue *to, int value)
{
    RtPickle *p = m->out;
    if (p->cells == m->cell_room)
        return too_many(m, m->cell_room, "items");
    p->cell[p->cells] = (RtPickleCell){value, -1};
    if (to->count++)
        p->cell[to->last].next = p->cells;
    else
        to->first = p->cells;
    to->last = p->cells++;
    return SSMC_OK;
}

/* The topmost `count` values become items of `to`, and leave the stack. */
static ssmc_status
append_top(Machine *m, RtPickleValue *to, int count)
{
    const int from = m->depth - count;
    for (int i = from; i < m->depth; i++) {
        const ssmc_status status = append(m, to, m->stack[i]);
        if (status != SSMC_OK)
            return status;
    }
    m->depth = from;
    return SSMC_OK;
}

static ssmc_status
make_tuple(Machine *m, int count)
{
    RtPickleValue tuple = {.kind = PICKLE_tuple, .first = -1, .last = -1};
    ssmc_status status = need(m, count);
    if (status == SSMC_OK)
        status = append_top(m, &tuple, count);
    return status == SSMC_OK ? push_new(m, tuple) : status;
}

/* Ends the newest mark; *count: values above it. */
static ssmc_status
pop_mark(Machine *m, int *count)
{
    if (!m->marks)
        return fault(m, "takes the values above a mark, and there is none");
    *count = above_mark(m);
    m->marks--;
    return SSMC_OK;
}

/* The topmost values become items of the list or dict below them. */
static ssmc_status
add_items(Machine *m, RtPickleKind kind, int count)
{
    const ssmc_status status = need(m, count + 1);
    if (status != SSMC_OK)
        return status;
    if (top(m, count)->kind != kind)
        return fault(m, "adds to %s", rt_pickle_kind(top(m, count)));
    if (kind == PICKLE_dict && count % 2)
        return fault(m, "adds a key without a value");
    return append_top(m, top(m, count), count);
}

static ssmc_status
add_marked(Machine *m, RtPickleKind kind)
{
    int count = 0;
    const ssmc_status status = pop_mark(m, &count);
    return status == SSMC_OK ? add_items(m, kind, count) : status;
}

static ssmc_status
put(Machine *m, int64_t index)
{
    const ssmc_status status = need(m, 1);
    if (status != SSMC_OK)
        return status;
    if (index >= m->memo_room)
        return fault(m, "has the number %" PRId64 "; it is below %d in a pickle as long", index,
                     m->memo_room);
    while (m->memos <= index)
        m->memo[m->memos++] = -1;
    m->memo[index] = m->stack[m->depth - 1];
    return SSMC_OK;
}

static ssmc_status
get(Machine *m, int64_t index)
{
    if (index >= m->memos || m->memo[index] < 0)
        return fault(m, "asks for value %" PRId64 ", which was not kept", index);
    return push(m, m->memo[index]);
}

/* ---- names and calls ----------------------------------------------------------------------- */

static bool
text_is(Text t, const char *what)
{
    return t.len == strlen(what) && memcmp(t.text, what, t.len) == 0;
}

static ssmc_status
push_global(Machine *m, Text module, Text name)
{
    for (size_t i = 0; i < RT_COUNT(globals); i++)
        if (text_is(module, globals[i].module) && text_is(name, globals[i].name))
            return push_new(m, (RtPickleValue){.kind = PICKLE_global, .global = &globals[i]});
    return fault(m,
                 "names %s.%s, which is none of those that tensors are saved with; nothing of the "
                 "file was executed",
                 quote(module).text, quote(name).text);
}

static ssmc_status
stack_global(Machine *m)
{
    const ssmc_status status = need(m, 2);
    if (status != SSMC_OK)
        return status;
    const RtPickleValue *module = top(m, 1), *name = top(m, 0);
    if (module->kind != PICKLE_text || name->kind != PICKLE_text)
        return fault(m, "names %s and %s; expected texts", rt_pickle_kind(module),
                     rt_pickle_kind(name));
    m->depth -= 2;
    return push_global(m, (Text){module->text, module->len}, (Text){name->text, name->len});
}

static ssmc_status
outside(Machine *m)
{
    const ssmc_status status = need(m, 1);
    if (status != SSMC_OK)
        return status;
    if (top(m, 0)->kind != PICKLE_tuple)
        return fault(m, "has %s; expected a tuple", rt_pickle_kind(top(m, 0)));
    const int with = m->stack[--m->depth];
    return push_new(m, (RtPickleValue){.kind = PICKLE_outside, .with = with});
}

static ssmc_status
reduce(Machine *m)
{
    const ssmc_status status = need(m, 2);
    if (status != SSMC_OK)
        return status;
    const RtPickleValue *what = top(m, 1), *with = top(m, 0);
    if (what->kind != PICKLE_global || with->kind != PICKLE_tuple)
        return fault(m, "calls %s with %s", rt_pickle_kind(what), rt_pickle_kind(with));
    const RtPickleGlobal *global = what->global;
    const int arguments = m->stack[m->depth - 1];
    m->depth -= 2;
    if (global->role == ROLE_dict && with->count == 0)
        return push_container(m, PICKLE_dict);
    if (global->role == ROLE_dict || global->role == ROLE_storage)
        return fault(m, "calls %s.%s with %d arguments", global->module, global->name, with->count);
    return push_new(m, (RtPickleValue){.kind = PICKLE_call, .global = global, .with = arguments});
}

/* Attributes of a dict: module versions, which change no tensor. */
static ssmc_status
build(Machine *m)
{
    const ssmc_status status = need(m, 2);
    if (status != SSMC_OK)
        return status;
    if (top(m, 1)->kind != PICKLE_dict)
        return fault(m, "gives attributes to %s", rt_pickle_kind(top(m, 1)));
    m->depth--;
    return SSMC_OK;
}

/* ---- the run ------------------------------------------------------------------------------- */

static ssmc_status
mark(Machine *m)
{
    if (m->marks == m->stack_room)
        return too_many(m, m->stack_room, "marks");
    m->mark[m->marks++] = m->depth;
    return SSMC_OK;
}

static ssmc_status
stop(Machine *m)
{
    if (m->depth != 1 || m->marks)
        return fault(m, "leaves %d values and %d marks on the stack; expected one value", m->depth,
                     m->marks);
    if (m->at != m->len)
        return fault(m, "is not the last: %zu bytes follow", m->len - m->at);
    m->out->top = m->stack[0];
    m->done = true;
    return SSMC_OK;
}

static ssmc_status
run_op(Machine *m)
{
    int count = 0;
    ssmc_status status;
    switch (m->op) {
    case OP_PROTO:
        return m->number >= 2 && m->number <= 5
                   ? SSMC_OK
                   : fault(m, "says protocol %d; 2 to 5 are read", (int)m->number);
    case OP_FRAME:
        return (uint64_t)m->number <= m->len - m->at ? SSMC_OK : short_fault(m, (size_t)m->number);
    case OP_STOP:
        return stop(m);
    case OP_MARK:
        return mark(m);
    case OP_EMPTY_DICT:
        return push_container(m, PICKLE_dict);
    case OP_EMPTY_LIST:
        return push_container(m, PICKLE_list);
    case OP_EMPTY_TUPLE:
        return push_container(m, PICKLE_tuple);
    case OP_NONE:
        return push_new(m, (RtPickleValue){.kind = PICKLE_none});
    case OP_NEWTRUE:
    case OP_NEWFALSE:
        return push_new(m, (RtPickleValue){.kind = PICKLE_bool, .number = m->op == OP_NEWTRUE});
    case OP_BININT:
    case OP_BININT1:
    case OP_BININT2:
    case OP_LONG1:
        return push_new(m, (RtPickleValue){.kind = PICKLE_int, .number = m->number});
    case OP_BINFLOAT:
        return push_new(m, (RtPickleValue){.kind = PICKLE_float});
    case OP_BINUNICODE:
    case OP_SHORT_BINUNICODE:
        return push_new(
            m,
            (RtPickleValue){.kind = PICKLE_text, .text = m->text[0].text, .len = m->text[0].len});
    case OP_BINPUT:
    case OP_LONG_BINPUT:
        return put(m, m->number);
    case OP_MEMOIZE:
        return put(m, m->memos);
    case OP_BINGET:
    case OP_LONG_BINGET:
        return get(m, m->number);
    case OP_GLOBAL:
        return push_global(m, m->text[0], m->text[1]);
    case OP_STACK_GLOBAL:
        return stack_global(m);
    case OP_BINPERSID:
        return outside(m);
    case OP_TUPLE:
        status = pop_mark(m, &count);
        return status == SSMC_OK ? make_tuple(m, count) : status;
    case OP_TUPLE1:
        return make_tuple(m, 1);
    case OP_TUPLE2:
        return make_tuple(m, 2);
    case OP_TUPLE3:
        return make_tuple(m, 3);
    case OP_REDUCE:
        return reduce(m);
    case OP_BUILD:
        return build(m);
    case OP_SETITEM:
        return add_items(m, PICKLE_dict, 2);
    case OP_SETITEMS:
        return add_marked(m, PICKLE_dict);
    case OP_APPEND:
        return add_items(m, PICKLE_list, 1);
    case OP_APPENDS:
        return add_marked(m, PICKLE_list);
    }
    return SSMC_OK;
}

/* Reads and runs one opcode. */
static ssmc_status
step(Machine *m)
{
    m->op_at = m->at;
    if (m->at == m->len)
        return rt_fail(SSMC_BAD_FILE, "%s ends at byte %zu without the opcode STOP", m->where,
                       m->at);
    const unsigned char code = (unsigned char)m->bytes[m->at++];
    size_t i = 0;
    while (i < RT_COUNT(ops) && ops[i].code != code)
        i++;
    if (i == RT_COUNT(ops))
        return opcode_fault(m, code);
    m->op = (Op)i;
    const ssmc_status status = read_operand(m);
    return status == SSMC_OK ? run_op(m) : status;
}

static int
least(size_t len, int most)
{
    return len < (size_t)most ? (int)len : most;
}

/* An opcode makes, pushes or keeps at most one value. A value becomes an item by leaving the stack,
 * so that there are as many items as values pushed at most. */
static ssmc_status
make_room(Machine *m)
{
    RtPickle *p = m->out;
    m->value_room = m->cell_room = least(m->len, MOST_VALUES);
    m->stack_room = least(m->len, MOST_DEPTH);
    m->memo_room = least(m->len, MOST_MEMO);
    p->value = malloc(((size_t)m->value_room + 1) * sizeof *p->value);
    p->cell = malloc(((size_t)m->cell_room + 1) * sizeof *p->cell);
    m->stack = malloc(((size_t)m->stack_room + 1) * sizeof *m->stack);
    m->mark = malloc(((size_t)m->stack_room + 1) * sizeof *m->mark);
    m->memo = malloc(((size_t)m->memo_room + 1) * sizeof *m->memo);
    if (p->value && p->cell && m->stack && m->mark && m->memo)
        return SSMC_OK;
    return rt_fail_memory(m->len * sizeof *p->value, "a pickle");
}

ssmc_status
rt_pickle_read(const char *where, const char *bytes, size_t len, RtPickle *out)
{
    *out = (RtPickle){.top = -1};
    if (len > MOST_BYTES)
        return rt_fail(SSMC_BAD_FILE, "%s has %zu bytes; at most %d are read", where, len,
                       MOST_BYTES);
    Machine m = {.where = where, .bytes = bytes, .len = len, .out = out};
    ssmc_status status = make_room(&m);
    while (status == SSMC_OK && !m.done)
        status = step(&m);
    free(m.stack);
    free(m.mark);
    free(m.memo);
    if (status != SSMC_OK)
        rt_pickle_free(out);
    return status;
}

void
rt_pickle_free(RtPickle *pickle)
{
    free(pickle->value);
    free(pickle->cell);
    *pickle = (RtPickle){.top = -1};
}
