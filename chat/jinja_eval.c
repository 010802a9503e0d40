/* chat/jinja_eval.c -- what the expressions of a template are. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "chat/jinja.h"

enum { MOST_DEPTH = 600, MOST_REPEATED = 16 << 20 };

/* ---- operators ------------------------------------------------------------------------------ */

static JVal
unsupported(Jinja *j, const char *op, JVal a, JVal b)
{
    if (a.kind == JV_undefined || b.kind == JV_undefined)
        return j_fail(j, "%s", a.kind == JV_undefined ? a.text : b.text);
    return j_fail(j, "`%s` has no meaning for a %s and a %s", op, j_type(a), j_type(b));
}

static JVal
too_large(Jinja *j)
{
    return j_fail(j, "an integer of more than 64 bits");
}

static JVal
add_texts(Jinja *j, JVal a, JVal b)
{
    const bool markup = a.markup || b.markup;
    if (markup) { /* the other one is escaped */
        a = j_escape(j, a);
        b = j_escape(j, b);
    }
    if (a.len == 0 || b.len == 0) {
        JVal one = a.len ? a : b;
        one.markup = markup;
        return one;
    }
    char *text = j_alloc(j, a.len + b.len + 1, 1);
    if (j->failed)
        return j_textn("", 0);
    memcpy(text, a.text, a.len);
    memcpy(text + a.len, b.text, b.len);
    JVal sum = j_textn(text, a.len + b.len);
    sum.markup = markup;
    return sum;
}

static JVal
add(Jinja *j, JVal a, JVal b)
{
    int64_t i, k;
    double x, y;
    if (a.kind == JV_text && b.kind == JV_text)
        return add_texts(j, a, b);
    if (j_whole(a, &i) && j_whole(b, &k)) {
        if ((k > 0 && i > INT64_MAX - k) || (k < 0 && i < INT64_MIN - k))
            return too_large(j);
        return j_int(i + k);
    }
    if (j_number(a, &x) && j_number(b, &y))
        return j_float(x + y);
    if (a.kind != b.kind || (a.kind != JV_list && a.kind != JV_tuple))
        return unsupported(j, "+", a, b);
    const JVal sum = j_list(j, a.kind);
    for (int n = 0; n < a.list->count; n++)
        j_push(j, sum.list, a.list->items[n]);
    for (int n = 0; n < b.list->count; n++)
        j_push(j, sum.list, b.list->items[n]);
    return sum;
}

static JVal
repeat(Jinja *j, JVal what, int64_t times)
{
    const size_t len = what.kind == JV_text ? what.len : (size_t)what.list->count;
    if (times < 0)
        times = 0;
    if (len && times > MOST_REPEATED / (int64_t)len)
        return j_fail(j, "`*` makes more than %d of them", MOST_REPEATED);
    if (what.kind == JV_text) {
        StrBuf out = {0};
        for (int64_t i = 0; i < times && len; i++)
            sb_putn(&out, what.text, what.len);
        return j_finish(j, &out);
    }
    const JVal list = j_list(j, what.kind);
    for (int64_t i = 0; i < times && !j->failed; i++)
        for (size_t n = 0; n < len; n++)
            j_push(j, list.list, what.list->items[n]);
    return list;
}

static JVal
multiply(Jinja *j, JVal a, JVal b)
{
    int64_t i, k;
    double x, y;
    if (j_whole(a, &i) && j_whole(b, &k)) {
        const double product = (double)i * (double)k;
        if (product > 9.2e18 || product < -9.2e18)
            return too_large(j);
        return j_int(i * k);
    }
    if (j_number(a, &x) && j_number(b, &y))
        return j_float(x * y);
    if ((a.kind == JV_text || a.kind == JV_list || a.kind == JV_tuple) && j_whole(b, &k))
        return repeat(j, a, k);
    if ((b.kind == JV_text || b.kind == JV_list || b.kind == JV_tuple) && j_whole(a, &i))
        return repeat(j, b, i);
    return unsupported(j, "*", a, b);
}

static JVal
subtract(Jinja *j, JVal a, JVal b)
{
    int64_t i, k;
    double x, y;
    if (j_whole(a, &i) && j_whole(b, &k)) {
        if ((k < 0 && i > INT64_MAX + k) || (k > 0 && i < INT64_MIN + k))
            return too_large(j);
        return j_int(i - k);
    }
    if (j_number(a, &x) && j_number(b, &y))
        return j_float(x - y);
    return unsupported(j, "-", a, b);
}

/* / // %, rounding to minus infinity as Python's do. */
static JVal
divide(Jinja *j, JOp op, JVal a, JVal b)
{
    static const char *const names[] = {[JO_div] = "/", [JO_floordiv] = "//", [JO_mod] = "%"};
    int64_t i, k;
    double x, y;
    if (op == JO_mod && a.kind == JV_text)
        return j_percent(j, a, b);
    if (!j_number(a, &x) || !j_number(b, &y))
        return unsupported(j, names[op], a, b);
    if (!(y < 0 || y > 0))
        return j_fail(j, "a division by zero");
    if (op == JO_div)
        return j_float(x / y);
    if (!j_whole(a, &i) || !j_whole(b, &k)) {
        const double whole = floor(x / y), rest = fmod(x, y);
        if (op == JO_floordiv)
            return j_float(whole);
        return j_float((rest < 0 || rest > 0) && (rest < 0) != (y < 0) ? rest + y : rest);
    }
    if (i == INT64_MIN && k == -1)
        return op == JO_mod ? j_int(0) : too_large(j);
    const int64_t whole = i / k - (i % k != 0 && (i < 0) != (k < 0));
    return j_int(op == JO_floordiv ? whole : i - whole * k);
}

static JVal
power(Jinja *j, JVal a, JVal b)
{
    int64_t i, k;
    double x, y;
    if (!j_number(a, &x) || !j_number(b, &y))
        return unsupported(j, "**", a, b);
    if (!j_whole(a, &i) || !j_whole(b, &k) || k < 0)
        return j_float(pow(x, y));
    if (pow(fabs(x), y) > 9.2e18)
        return too_large(j);
    int64_t product = 1;
    if (i == 0 || i == 1 || i == -1)
        return j_int(k == 0 ? 1 : i == -1 && k % 2 == 0 ? 1 : i);
    for (; k > 0; k--)
        product *= i;
    return j_int(product);
}

JVal
j_binary(Jinja *j, JOp op, JVal a, JVal b)
{
    switch (op) {
    case JO_add:
        return add(j, a, b);
    case JO_sub:
        return subtract(j, a, b);
    case JO_mul:
        return multiply(j, a, b);
    case JO_div:
    case JO_floordiv:
    case JO_mod:
        return divide(j, op, a, b);
    case JO_pow:
        return power(j, a, b);
    case JO_eq:
    case JO_ne:
    case JO_lt:
    case JO_le:
    case JO_gt:
    case JO_ge:
    case JO_in:
    case JO_notin:
        return j_bool(j_compare(j, op, a, b));
    }
    return j_none();
}

static bool
contains(Jinja *j, JVal in, JVal what)
{
    if (in.kind == JV_text) {
        if (what.kind != JV_text)
            return j_fail(j, "`in` a text looks for a text, not for a %s", j_type(what)), false;
        return j_step(j, (int64_t)(in.len / 64)) && jt_find(in, what, 0) != SIZE_MAX;
    }
    if (in.kind == JV_dict) {
        if (what.kind == JV_list || what.kind == JV_dict)
            return j_fail(j, "a %s cannot be the key of a dict", j_type(what)), false;
        return j_dict_find(j, in.dict, what) != NULL;
    }
    const JList *list = j_items(j, in);
    for (int i = 0; list && i < list->count; i++)
        if (j_equal(j, list->items[i], what, 0))
            return true;
    return false;
}

bool
j_compare(Jinja *j, JOp op, JVal a, JVal b)
{
    if (op == JO_eq || op == JO_ne)
        return j_equal(j, a, b, 0) == (op == JO_eq);
    if (op == JO_in || op == JO_notin)
        return contains(j, b, a) == (op == JO_in);
    const double *nan = NULL;
    if (a.kind == JV_float && isnan(a.num))
        nan = &a.num;
    if (b.kind == JV_float && isnan(b.num))
        nan = &b.num;
    if (nan)
        return false;
    const int order = j_order(j, a, b, 0);
    switch (op) {
    case JO_lt:
        return order < 0;
    case JO_le:
        return order <= 0;
    case JO_gt:
        return order > 0;
    default:
        return order >= 0;
    }
}

/* ---- parts of values ------------------------------------------------------------------------ */

static JVal
lacks(Jinja *j, JVal of, JVal key)
{
    StrBuf why = {0};
    if (of.kind == JV_undefined)
        return j_fail(j, "%s", of.text);
    sb_printf(&why, "this %s has no ", j_type(of));
    if (key.kind == JV_text)
        sb_puts(&why, "'");
    j_put(j, &why, j_str(j, key), false, 0);
    if (key.kind == JV_text)
        sb_puts(&why, "'");
    return j_undefined(j_finish(j, &why).text);
}

static bool
known(Jinja *j, JVal of, JVal key, JVal *out)
{
    const JVal *found = NULL;
    if (of.kind == JV_dict || of.kind == JV_namespace)
        found = j_dict_find(j, of.dict, key);
    if (found)
        *out = *found;
    return found != NULL;
}

JVal
j_attr(Jinja *j, JVal of, JVal name)
{
    JVal out;
    if (of.kind == JV_loop)
        return j_loop_attr(j, of.loop, name);
    if (of.kind == JV_macro && j_is_text(name, "name"))
        return j_text(of.macro->node->text);
    if (of.kind == JV_undefined)
        return lacks(j, of, name);
    out = of.kind == JV_namespace ? j_undefined("") : j_method(j, of, name);
    if (out.kind != JV_undefined || known(j, of, name, &out))
        return out;
    return lacks(j, of, name);
}

JVal
j_item(Jinja *j, JVal of, JVal key)
{
    JVal out;
    int64_t i;
    if (of.kind == JV_undefined)
        return lacks(j, of, key);
    if (of.kind == JV_dict && (key.kind == JV_list || key.kind == JV_dict))
        return lacks(j, of, key);
    if (of.kind == JV_dict && known(j, of, key, &out))
        return out;
    const bool places = of.kind == JV_list || of.kind == JV_tuple || of.kind == JV_text;
    if (places && j_whole(key, &i)) {
        const int64_t count = j_length(j, of);
        i += i < 0 ? count : 0;
        if (i < 0 || i >= count)
            return lacks(j, of, key);
        return of.kind == JV_text ? jt_slice(j, of, i, i + 1, 1) : of.list->items[i];
    }
    return key.kind == JV_text ? j_attr(j, of, key) : lacks(j, of, key);
}

/* A bound of a slice, as Python settles it: negative ones count from the end. */
static int64_t
bound(int64_t i, int64_t count, int64_t step)
{
    i += i < 0 ? count : 0;
    const int64_t least = step < 0 ? -1 : 0, most = step < 0 ? count - 1 : count;
    return i < least ? least : i > most ? most : i;
}

static bool
slice_number(Jinja *j, const JNode *node, int64_t *out, bool *given)
{
    const JVal v = node ? j_eval(j, node) : j_none();
    *given = v.kind != JV_none;
    if (!*given || j_whole(v, out))
        return true;
    j_fail(j, "a slice wants integers, not a %s", j_type(v));
    return false;
}

static JVal
slice(Jinja *j, const JNode *node)
{
    const JVal of = j_eval(j, node->a);
    int64_t start = 0, stop = 0, step = 1;
    bool has_start, has_stop, has_step;
    if (!slice_number(j, node->b, &start, &has_start) ||
        !slice_number(j, node->c, &stop, &has_stop) || !slice_number(j, node->d, &step, &has_step))
        return j_none();
    j->at = node->at;
    if (!has_step)
        step = 1;
    if (of.kind == JV_undefined)
        return j_fail(j, "%s", of.text);
    if (of.kind != JV_text && of.kind != JV_list && of.kind != JV_tuple)
        return j_undefined("a slice of what has no places");
    if (step == 0)
        return j_fail(j, "the step of a slice cannot be 0");
    const int64_t count = j_length(j, of);
    start = has_start ? bound(start, count, step) : step < 0 ? count - 1 : 0;
    stop = has_stop ? bound(stop, count, step) : step < 0 ? -1 : count;
    if (of.kind == JV_text)
        return jt_slice(j, of, start, stop, step);
    const JVal part = j_list(j, of.kind);
    for (int64_t i = start; !j->failed && (step > 0 ? i < stop : i > stop); i += step) {
        j_push(j, part.list, of.list->items[i]);
        if (step > count || step < -count)
            break;
    }
    return part;
}

/* ---- calls ---------------------------------------------------------------------------------- */

const JVal *
j_arg(const JArgs *args, int place, const char *name)
{
    if (place >= 0 && place < args->npos)
        return &args->pos[place];
    for (int i = 0; name && i < args->nnamed; i++)
        if (strcmp(args->names[i], name) == 0)
            return &args->named[i];
    return NULL;
}

static JArgs
arguments(Jinja *j, const JNode *node)
{
    JArgs args = {.npos = node->count, .nnamed = node->nargs};
    args.pos = j_alloc(j, (size_t)node->count + 1, sizeof *args.pos);
    args.names = j_alloc(j, (size_t)node->nargs + 1, sizeof *args.names);
    args.named = j_alloc(j, (size_t)node->nargs + 1, sizeof *args.named);
    if (j->failed)
        return (JArgs){0};
    for (int i = 0; i < node->count; i++)
        args.pos[i] = j_eval(j, node->list[i]);
    for (int i = 0; i < node->nargs; i++) {
        args.names[i] = node->args[i].name;
        args.named[i] = j_eval(j, node->args[i].value);
    }
    return args;
}

JVal
j_call(Jinja *j, JVal what, const JArgs *args)
{
    if (j->failed)
        return j_none();
    switch (what.kind) {
    case JV_macro:
        return j_call_macro(j, what.macro, args);
    case JV_method:
        return j_call_method(j, what.bound, args);
    case JV_function:
        return j_call_global(j, what.i, args);
    case JV_loop:
        return j_call_loop(j, what.loop, args);
    case JV_undefined:
        return j_fail(j, "%s", what.text);
    default:
        return j_fail(j, "a %s cannot be called", j_type(what));
    }
}

static JVal
call(Jinja *j, const JNode *node)
{
    const JVal what = j_eval(j, node->a);
    const JArgs args = arguments(j, node);
    j->at = node->at;
    return j_call(j, what, &args);
}

static JVal
filter(Jinja *j, const JNode *node)
{
    const JVal of = j_eval(j, node->a);
    const JArgs args = arguments(j, node);
    j->at = node->at;
    return j->failed ? j_none() : j_filter(j, node->row, of, &args);
}

static JVal
test(Jinja *j, const JNode *node)
{
    const JVal of = j_eval(j, node->a);
    const JArgs args = arguments(j, node);
    j->at = node->at;
    return j->failed ? j_none() : j_bool(j_test(j, node->row, of, &args));
}

/* ---- all of them ---------------------------------------------------------------------------- */

static JVal
name(Jinja *j, const JNode *node)
{
    for (const JScope *scope = j->scope; scope; scope = scope->parent) {
        if (!j_step(j, 1 + scope->count / 8))
            return j_none();
        for (int i = 0; i < scope->count; i++)
            if (strcmp(scope->names[i], node->text) == 0)
                return scope->values[i];
    }
    const JVal *given = j_dict_find(j, j->vars, j_text(node->text));
    if (given)
        return *given;
    const JVal global = j_global(node->text);
    if (global.kind != JV_undefined)
        return global;
    StrBuf why = {0};
    sb_printf(&why, "'%s' is undefined", node->text);
    return j_undefined(j_finish(j, &why).text);
}

static JVal
list(Jinja *j, const JNode *node)
{
    const JVal v = j_list(j, node->kind == JN_list ? JV_list : JV_tuple);
    for (int i = 0; i < node->count && !j->failed; i++)
        j_push(j, v.list, j_eval(j, node->list[i]));
    return v;
}

static JVal
dict(Jinja *j, const JNode *node)
{
    const JVal v = j_dict(j);
    for (int i = 0; i + 1 < node->count && !j->failed; i += 2) {
        const JVal key = j_eval(j, node->list[i]);
        j_dict_set(j, v.dict, key, j_eval(j, node->list[i + 1]));
    }
    return v;
}

static JVal
concat(Jinja *j, const JNode *node)
{
    StrBuf out = {0};
    for (int i = 0; i < node->count && !j->failed; i++) {
        const JVal v = j_eval(j, node->list[i]);
        j->at = node->at;
        j_put(j, &out, v, false, 0);
    }
    return j_finish(j, &out);
}

static JVal
compare(Jinja *j, const JNode *node)
{
    JVal left = j_eval(j, node->a);
    for (int i = 0; i < node->count && !j->failed; i++) {
        const JVal right = j_eval(j, node->list[i]);
        j->at = node->at;
        if (!j_compare(j, node->ops[i], left, right))
            return j_bool(false);
        left = right;
    }
    return j_bool(true);
}

static JVal
sign(Jinja *j, const JNode *node)
{
    const JVal v = j_eval(j, node->a);
    double num;
    int64_t i;
    j->at = node->at;
    if (!j_number(v, &num))
        return v.kind == JV_undefined ? j_fail(j, "%s", v.text)
                                      : j_fail(j, "a %s has no sign", j_type(v));
    if (j_whole(v, &i))
        return node->kind == JN_negative && i == INT64_MIN
                   ? too_large(j)
                   : j_int(node->kind == JN_negative ? -i : i);
    return j_float(node->kind == JN_negative ? -num : num);
}

static JVal
if_else(Jinja *j, const JNode *node)
{
    if (j_true(j, j_eval(j, node->a)))
        return j_eval(j, node->b);
    return node->c ? j_eval(j, node->c)
                   : j_undefined("an inline if without else was false: it has no value");
}

static JVal
evaluate(Jinja *j, const JNode *node)
{
    switch (node->kind) {
    case JN_const:
        return node->value;
    case JN_name:
        return name(j, node);
    case JN_list:
    case JN_tuple:
        return list(j, node);
    case JN_dict:
        return dict(j, node);
    case JN_attr: {
        const JVal of = j_eval(j, node->a);
        j->at = node->at;
        return j_attr(j, of, j_text(node->text));
    }
    case JN_item: {
        const JVal of = j_eval(j, node->a), key = j_eval(j, node->b);
        j->at = node->at;
        return j_item(j, of, key);
    }
    case JN_slice:
        return slice(j, node);
    case JN_call:
        return call(j, node);
    case JN_filter:
        return filter(j, node);
    case JN_test:
        return test(j, node);
    case JN_not:
        return j_bool(!j_true(j, j_eval(j, node->a)));
    case JN_negative:
    case JN_positive:
        return sign(j, node);
    case JN_and: {
        const JVal left = j_eval(j, node->a);
        return j_true(j, left) ? j_eval(j, node->b) : left;
    }
    case JN_or: {
        const JVal left = j_eval(j, node->a);
        return j_true(j, left) ? left : j_eval(j, node->b);
    }
    case JN_concat:
        return concat(j, node);
    case JN_binary: {
        const JVal a = j_eval(j, node->a), b = j_eval(j, node->b);
        j->at = node->at;
        return j->failed ? j_none() : j_binary(j, node->op, a, b);
    }
    case JN_compare:
        return compare(j, node);
    case JN_if_else:
        return if_else(j, node);
    default:
        die("a statement of a template is not an expression");
    }
}

JVal
j_eval(Jinja *j, const JNode *node)
{
    if (!j_step(j, 1))
        return j_none();
    if (j->depth >= MOST_DEPTH)
        return j_fail(j, "this is nested more than %d deep", MOST_DEPTH);
    j->depth++;
    j->at = node->at;
    const JVal v = evaluate(j, node);
    j->depth--;
    return j->failed ? j_none() : v;
}
