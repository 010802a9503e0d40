/* chat/jinja_run.c -- runs the statements of a template. */
#include <json-c/json.h>
#include <string.h>

#include "chat/jinja.h"

enum {
    MOST_STEPS = 50 << 20,   /* some seconds */
    MOST_OUTPUT = 64 << 20,  /* bytes */
    MOST_MEMORY = 256 << 20, /* bytes of values */
    MOST_DEPTH = 600         /* of what is in what: statements, expressions, calls of macros */
};

/* What a loop is told of itself. */
struct JLoop {
    const JNode *node;
    JScope *scope; /* around it, for a recursive one */
    const JList *items;
    int at, depth;
    JVal changed; /* what changed() was asked last */
    bool asked;
};

/* ---- faults and limits ---------------------------------------------------------------------- */

JVal
j_fail(Jinja *j, const char *fmt, ...)
{
    if (!j->failed) {
        StrBuf text = {0};
        va_list args;
        va_start(args, fmt);
        sb_vprintf(&text, fmt, args);
        va_end(args);
        diag_error(j->diag, jinja_place(&j->t->source, j->at), "%s", sb_text(&text));
        sb_free(&text);
    }
    j->failed = true;
    return j_none();
}

bool
j_step(Jinja *j, int64_t steps)
{
    if (j->failed)
        return false;
    j->steps += steps;
    if (j->steps > MOST_STEPS)
        j_fail(j, "the template has not ended after %d steps", MOST_STEPS);
    return !j->failed;
}

/* After a fault there is memory still, but no more than a value takes. */
void *
j_alloc(Jinja *j, size_t count, size_t size)
{
    enum { SPARE = 256 };
    const bool fits = count <= (size_t)MOST_MEMORY / size;
    j->bytes += fits ? count * size : (size_t)MOST_MEMORY;
    if (!j->failed && j->bytes > MOST_MEMORY)
        j_fail(j, "the template's values take more than %d MiB", MOST_MEMORY >> 20);
    return arena_alloc(j->arena, j->failed ? SPARE : count * size);
}

/* ---- names ---------------------------------------------------------------------------------- */

void
j_scope_set(Jinja *j, const char *name, JVal value)
{
    JScope *scope = j->scope;
    if (!j_step(j, 1 + scope->count / 8))
        return;
    for (int i = 0; i < scope->count; i++)
        if (strcmp(scope->names[i], name) == 0) {
            scope->values[i] = value;
            return;
        }
    if (scope->count == scope->cap) {
        const int cap = scope->cap ? 2 * scope->cap : 4;
        const char **names = j_alloc(j, (size_t)cap, sizeof *names);
        JVal *values = j_alloc(j, (size_t)cap, sizeof *values);
        if (j->failed)
            return;
        for (int i = 0; i < scope->count; i++) {
            names[i] = scope->names[i];
            values[i] = scope->values[i];
        }
        scope->names = names;
        scope->values = values;
        scope->cap = cap;
    }
    scope->names[scope->count] = name;
    scope->values[scope->count++] = value;
}

static JScope *
scope_new(Jinja *j, JScope *parent)
{
    JScope *scope = j_alloc(j, 1, sizeof *scope);
    scope->parent = parent;
    return scope;
}

static void
assign(Jinja *j, const JNode *target, JVal value)
{
    if (target->kind == JN_name) {
        j_scope_set(j, target->text, value);
        return;
    }
    if (target->kind == JN_attr) {
        const JVal of = j_eval(j, target->a);
        if (of.kind == JV_namespace)
            j_dict_set(j, of.dict, j_text(target->text), value);
        else
            j_fail(j, "only a namespace's attributes can be set, not those of a %s", j_type(of));
        return;
    }
    const JList *items = j_items(j, value);
    if (items && items->count != target->count)
        j_fail(j, "%d values for %d names", items->count, target->count);
    for (int i = 0; items && i < target->count && !j->failed; i++)
        assign(j, target->list[i], items->items[i]);
}

/* ---- text ----------------------------------------------------------------------------------- */

static void
put(Jinja *j, JVal v)
{
    j_put(j, j->out, v, false, 0);
    if (j->out->len > MOST_OUTPUT)
        j_fail(j, "the template's text has more than %d MiB", MOST_OUTPUT >> 20);
}

/* The text of a body, which does not go where the text around it goes. */
static JVal
captured(Jinja *j, const JNode *body)
{
    StrBuf inner = {0}, *outer = j->out;
    j->out = &inner;
    j_run(j, body);
    j->out = outer;
    return j_finish(j, &inner);
}

/* `of` through a chain of filters whose innermost has nothing to filter of its own. */
static JVal
filtered(Jinja *j, const JNode *chain, JVal of)
{
    if (!chain)
        return of;
    of = filtered(j, chain->a, of);
    JArgs args = {.npos = chain->count, .nnamed = chain->nargs};
    args.pos = j_alloc(j, (size_t)chain->count + 1, sizeof *args.pos);
    args.names = j_alloc(j, (size_t)chain->nargs + 1, sizeof *args.names);
    args.named = j_alloc(j, (size_t)chain->nargs + 1, sizeof *args.named);
    for (int i = 0; i < chain->count && !j->failed; i++)
        args.pos[i] = j_eval(j, chain->list[i]);
    for (int i = 0; i < chain->nargs && !j->failed; i++) {
        args.names[i] = chain->args[i].name;
        args.named[i] = j_eval(j, chain->args[i].value);
    }
    j->at = chain->at;
    return j->failed ? j_none() : j_filter(j, chain->row, of, &args);
}

/* ---- loops ---------------------------------------------------------------------------------- */

static JVal
loop_cycle(Jinja *j, const JLoop *loop, const JArgs *args)
{
    return args->npos ? args->pos[loop->at % args->npos] : j_fail(j, "cycle() of nothing");
}

static JVal
loop_changed(Jinja *j, JLoop *loop, const JArgs *args)
{
    const JVal now = j_list(j, JV_list);
    for (int i = 0; i < args->npos; i++)
        j_push(j, now.list, args->pos[i]);
    const bool same = loop->asked && j_equal(j, loop->changed, now, 0);
    loop->changed = now;
    loop->asked = true;
    return j_bool(!same);
}

/* loop.cycle and loop.changed are methods whose value is the loop: the row says which. */
enum { LOOP_CYCLE = -1, LOOP_CHANGED = -2 };

static JVal
loop_method(Jinja *j, JLoop *loop, int which)
{
    JBound *bound = j_alloc(j, 1, sizeof *bound);
    *bound = (JBound){
        .of = {.kind = JV_loop, .loop = loop},
          .method = which
    };
    return (JVal){.kind = JV_method, .bound = bound};
}

JVal
j_loop_attr(Jinja *j, JLoop *loop, JVal name)
{
    const int at = loop->at, count = loop->items->count;
    const struct {
        const char *name;
        JVal value;
    } attributes[] = {
        {"index",     j_int(at + 1)          },
        {"index0",    j_int(at)              },
        {"revindex",  j_int(count - at)      },
        {"revindex0", j_int(count - at - 1)  },
        {"first",     j_bool(at == 0)        },
        {"last",      j_bool(at == count - 1)},
        {"length",    j_int(count)           },
        {"depth",     j_int(loop->depth + 1) },
        {"depth0",    j_int(loop->depth)     },
    };
    for (size_t i = 0; i < COUNT_OF(attributes); i++)
        if (j_is_text(name, attributes[i].name))
            return attributes[i].value;
    if (j_is_text(name, "previtem"))
        return at > 0 ? loop->items->items[at - 1] : j_undefined("there is no previous item");
    if (j_is_text(name, "nextitem"))
        return at + 1 < count ? loop->items->items[at + 1] : j_undefined("there is no next item");
    if (j_is_text(name, "cycle"))
        return loop_method(j, loop, LOOP_CYCLE);
    if (j_is_text(name, "changed"))
        return loop_method(j, loop, LOOP_CHANGED);
    return j_undefined("a loop has no such attribute");
}

typedef enum { GO_ON, GO_NEXT, GO_OUT } Flow;
static Flow run(Jinja *j, const JNode *node);

/* Those that the loop's condition takes, which knows the loop's names but not its `loop`. */
static const JList *
chosen(Jinja *j, const JNode *node, const JList *all)
{
    if (!node->c || !all)
        return all;
    const JVal some = j_list(j, JV_list);
    JScope *outer = j->scope;
    for (int i = 0; i < all->count && !j->failed; i++) {
        j->scope = scope_new(j, outer);
        assign(j, node->b, all->items[i]);
        if (!j->failed && j_true(j, j_eval(j, node->c)))
            j_push(j, some.list, all->items[i]);
    }
    j->scope = outer;
    return some.list;
}

static void
loop_over(Jinja *j, const JNode *node, JVal over, int depth)
{
    JScope *outer = j->scope;
    const JList *items = chosen(j, node, j_items(j, over));
    if (j->failed || !items)
        return;
    JLoop *loop = j_alloc(j, 1, sizeof *loop);
    *loop = (JLoop){.node = node, .scope = outer, .items = items, .depth = depth};
    Flow flow = GO_ON;
    for (; loop->at < items->count && !j->failed && flow != GO_OUT; loop->at++) {
        j->scope = scope_new(j, outer);
        j_scope_set(j, "loop", (JVal){.kind = JV_loop, .loop = loop});
        assign(j, node->b, items->items[loop->at]);
        flow = run(j, node->d);
    }
    j->scope = outer;
    if (items->count == 0 && node->e && !j->failed) {
        j->scope = scope_new(j, outer);
        run(j, node->e);
        j->scope = outer;
    }
}

JVal
j_call_loop(Jinja *j, JLoop *loop, const JArgs *args)
{
    if (!loop->node->recursive || args->npos != 1)
        return j_fail(j, "loop(ITEMS) is for a loop that is `recursive`");
    StrBuf inner = {0}, *out = j->out;
    JScope *scope = j->scope;
    j->out = &inner;
    j->scope = loop->scope;
    if (++j->depth < MOST_DEPTH)
        loop_over(j, loop->node, args->pos[0], loop->depth + 1);
    else
        j_fail(j, "loops are nested more than %d deep", MOST_DEPTH);
    j->depth--;
    j->scope = scope;
    j->out = out;
    return j_finish(j, &inner);
}

/* ---- macros --------------------------------------------------------------------------------- */

static int
parameter(const JNode *macro, const char *name)
{
    for (int i = 0; i < macro->nargs; i++)
        if (strcmp(macro->args[i].name, name) == 0)
            return i;
    return -1;
}

static void
put_extra(Jinja *j, const JNode *node, const JArgs *args)
{
    const JVal more = j_list(j, JV_tuple), named = j_dict(j);
    for (int i = node->nargs; i < args->npos; i++)
        j_push(j, more.list, args->pos[i]);
    for (int i = 0; i < args->nnamed; i++)
        if (parameter(node, args->names[i]) < 0 && strcmp(args->names[i], "caller") != 0)
            j_dict_set(j, named.dict, j_text(args->names[i]), args->named[i]);
    j_scope_set(j, "varargs", more);
    j_scope_set(j, "kwargs", named);
}

/* Whether a body speaks of a name, so that arguments which have no parameter have a place. What is
 * nested too deep to run is not looked at. */
static bool
speaks(const JNode *node, const char *name, int depth)
{
    if (!node || depth > MOST_DEPTH)
        return false;
    if (node->kind == JN_name && strcmp(node->text, name) == 0)
        return true;
    for (int i = 0; i < node->nargs; i++)
        if (speaks(node->args[i].value, name, depth + 1))
            return true;
    for (int i = 0; i < node->count; i++)
        if (speaks(node->list[i], name, depth + 1))
            return true;
    const JNode *parts[] = {node->a, node->b, node->c, node->d, node->e};
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        if (speaks(parts[i], name, depth + 1))
            return true;
    return false;
}

static bool
arguments_fit(Jinja *j, const JNode *node, const JArgs *args)
{
    if (args->npos > node->nargs && !speaks(node->d, "varargs", 0)) {
        j_fail(j, "%s() takes %d arguments, but %d are given", node->text, node->nargs, args->npos);
        return false;
    }
    for (int i = 0; i < args->nnamed; i++) {
        const int place = parameter(node, args->names[i]);
        if (place >= 0 && place < args->npos)
            j_fail(j, "%s() is given '%s' twice", node->text, args->names[i]);
        else if (place < 0 &&
                 !speaks(node->d, strcmp(args->names[i], "caller") ? "kwargs" : "caller", 0))
            j_fail(j, "%s() takes no argument '%s'", node->text, args->names[i]);
    }
    return !j->failed;
}

static void
put_parameters(Jinja *j, const JNode *node, const JArgs *args)
{
    for (int i = 0; i < node->nargs && !j->failed; i++) {
        const JArg *p = &node->args[i];
        const JVal *given = j_arg(args, i, p->name);
        JVal value;
        if (given)
            value = *given;
        else if (p->value)
            value = j_eval(j, p->value);
        else
            value = j_undefined("a parameter of a macro was not given");
        j_scope_set(j, p->name, value);
    }
    const JVal *caller = j_arg(args, -1, "caller");
    if (caller && parameter(node, "caller") < 0)
        j_scope_set(j, "caller", *caller);
}

JVal
j_call_macro(Jinja *j, const JMacro *macro, const JArgs *args)
{
    const JNode *node = macro->node;
    JScope *outer = j->scope;
    if (!arguments_fit(j, node, args))
        return j_none();
    j->scope = scope_new(j, macro->scope);
    put_parameters(j, node, args);
    put_extra(j, node, args);
    const JVal text = captured(j, node->d);
    j->scope = outer;
    return text;
}

static JVal
macro_value(Jinja *j, const JNode *node)
{
    JMacro *macro = j_alloc(j, 1, sizeof *macro);
    *macro = (JMacro){.node = node, .scope = j->scope};
    return (JVal){.kind = JV_macro, .macro = macro};
}

static void
call_block(Jinja *j, const JNode *node)
{
    const JNode *call = node->a;
    const JVal what = j_eval(j, call->a);
    const int count = call->nargs + 1;
    JArgs args = {.npos = call->count, .nnamed = count};
    args.pos = j_alloc(j, (size_t)call->count + 1, sizeof *args.pos);
    args.names = j_alloc(j, (size_t)count, sizeof *args.names);
    args.named = j_alloc(j, (size_t)count, sizeof *args.named);
    for (int i = 0; i < call->count && !j->failed; i++)
        args.pos[i] = j_eval(j, call->list[i]);
    for (int i = 0; i < call->nargs && !j->failed; i++) {
        args.names[i] = call->args[i].name;
        args.named[i] = j_eval(j, call->args[i].value);
    }
    if (j->failed)
        return;
    args.names[count - 1] = "caller";
    args.named[count - 1] = macro_value(j, node->b);
    j->at = node->at;
    put(j, j_call(j, what, &args));
}

/* ---- statements ----------------------------------------------------------------------------- */

static void
run_with(Jinja *j, const JNode *node)
{
    JScope *outer = j->scope, *inner = scope_new(j, outer);
    for (int i = 0; i < node->count && !j->failed; i++) {
        const JVal value = j_eval(j, node->list[i]); /* outside of what it names */
        j->scope = inner;
        assign(j, node->b->list[i], value);
        j->scope = outer;
    }
    j->scope = inner;
    run(j, node->d);
    j->scope = outer;
}

static void
run_set(Jinja *j, const JNode *node)
{
    JVal value;
    if (node->kind == JN_set) {
        value = j_eval(j, node->a);
    } else {
        JScope *outer = j->scope;
        j->scope = scope_new(j, outer);
        value = filtered(j, node->a, captured(j, node->d));
        j->scope = outer;
    }
    if (!j->failed)
        assign(j, node->b, value);
}

static Flow
run_if(Jinja *j, const JNode *node)
{
    for (; node && node->kind == JN_if && !j->failed; node = node->c)
        if (j_true(j, j_eval(j, node->a)))
            return j->failed ? GO_OUT : run(j, node->b);
    return node && !j->failed ? run(j, node) : GO_ON;
}

static Flow
run_body(Jinja *j, const JNode *node)
{
    Flow flow = GO_ON;
    for (int i = 0; i < node->count && flow == GO_ON && !j->failed; i++)
        flow = run(j, node->list[i]);
    return flow;
}

static Flow
run_one(Jinja *j, const JNode *node)
{
    switch (node->kind) {
    case JN_text:
        put(j, node->value);
        return GO_ON;
    case JN_print: {
        const JVal v = j_eval(j, node->a);
        j->at = node->at;
        put(j, v);
        return GO_ON;
    }
    case JN_body:
        return run_body(j, node);
    case JN_if:
        return run_if(j, node);
    case JN_for: {
        const JVal over = j_eval(j, node->a);
        j->at = node->at;
        loop_over(j, node, over, 0);
        return GO_ON;
    }
    case JN_set:
    case JN_set_block:
        run_set(j, node);
        return GO_ON;
    case JN_macro:
        j_scope_set(j, node->text, macro_value(j, node));
        return GO_ON;
    case JN_call_block:
        call_block(j, node);
        return GO_ON;
    case JN_filter_block: {
        JScope *outer = j->scope;
        j->scope = scope_new(j, outer);
        put(j, filtered(j, node->a, captured(j, node->d)));
        j->scope = outer;
        return GO_ON;
    }
    case JN_with:
        run_with(j, node);
        return GO_ON;
    case JN_break:
        return GO_OUT;
    case JN_continue:
        return GO_NEXT;
    default:
        die("an expression of a template is not a statement");
    }
}

static Flow
run(Jinja *j, const JNode *node)
{
    if (!j_step(j, 1))
        return GO_OUT;
    if (j->depth >= MOST_DEPTH) {
        j->at = node->at;
        j_fail(j, "statements and macros are nested more than %d deep", MOST_DEPTH);
        return GO_OUT;
    }
    j->depth++;
    const Flow flow = run_one(j, node);
    j->depth--;
    return flow;
}

void
j_run(Jinja *j, const JNode *node)
{
    run(j, node);
}

JVal
j_call_loop_method(Jinja *j, const JBound *bound, const JArgs *args)
{
    return bound->method == LOOP_CYCLE ? loop_cycle(j, bound->of.loop, args)
                                       : loop_changed(j, bound->of.loop, args);
}

bool
jinja_render(const JTemplate *t, struct json_object *vars, StrBuf *out, Diag *diag)
{
    Arena *arena = arena_new();
    JScope global = {0};
    Jinja j = {.arena = arena,
               .t = t,
               .diag = diag,
               .scope = &global,
               .out = out,
               .most_bytes = MOST_OUTPUT};
    const JVal given = j_from_json(&j, vars, false, 0);
    if (!j.failed && given.kind == JV_dict) {
        j.vars = given.dict;
        run(&j, t->body);
    }
    arena_free(arena);
    return !j.failed;
}
