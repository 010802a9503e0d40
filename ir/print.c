/* ir/print.c -- the text form of a graph; ir/parse.c reads it back. Everything semantic is printed:
 * what can be derived (use counts, ids, is_param, the anchor of a kernel) is not. */
#include <string.h>

#include "ir/internal.h"

/* A bare word where that reads back as one. */
static void
put_word(StrBuf *out, const char *word)
{
    if (name_is_valid(word, strlen(word)))
        sb_puts(out, word);
    else
        sb_put_quoted(out, word);
}

static void
put_number(StrBuf *out, double value)
{
    Arena *arena = arena_new();
    sb_puts(out, number_text(arena, value));
    arena_free(arena);
}

/* ---- attributes --------------------------------------------------------------------------- */

static void
put_list(StrBuf *out, const Attr *attr)
{
    sb_puts(out, "[");
    for (int i = 0; i < attr->count; i++) {
        sb_puts(out, i ? ", " : "");
        if (attr_info[attr->id].kind == AK_INTS)
            sb_printf(out, "%lld", (long long)attr->ints[i]);
        else
            put_number(out, attr->nums[i]);
    }
    sb_puts(out, "]");
}

static void
put_attr(StrBuf *out, const Attr *attr)
{
    sb_printf(out, "%s=", attr_info[attr->id].name);
    switch (attr_info[attr->id].kind) {
    case AK_INT:
        sb_printf(out, "%lld", (long long)attr->i);
        break;
    case AK_CHUNK:
        if (attr->i > 0)
            sb_printf(out, "%lld", (long long)attr->i);
        else
            sb_puts(out, attr->i == CHUNK_ALL ? "all" : "auto");
        break;
    case AK_NUM:
        put_number(out, attr->num);
        break;
    case AK_WORD:
        put_word(out, attr->word ? attr->word : "");
        break;
    case AK_INTS:
    case AK_NUMS:
        put_list(out, attr);
        break;
    }
}

void
attrs_print(StrBuf *out, const AttrList *list)
{
    for (int i = 0; i < list->count; i++) {
        sb_puts(out, i ? ", " : " {");
        put_attr(out, &list->items[i]);
    }
    if (list->count)
        sb_puts(out, "}");
}

/* ---- values and nodes --------------------------------------------------------------------- */

/* name: type @space+offset/stride */
static void
put_declared(StrBuf *out, const Value *v)
{
    sb_printf(out, "%s: ", v->name);
    type_print(out, &v->type);
    if (v->place.space != SPACE_NONE)
        sb_printf(out, " @%s+%lld/%lld", space_name[v->place.space], (long long)v->place.offset,
                  (long long)v->place.stride);
}

void
node_print(StrBuf *out, const Node *n)
{
    for (int i = 0; i < n->nout; i++) {
        sb_puts(out, i ? ", " : "");
        put_declared(out, n->out[i]);
    }
    int given = n->nin; /* missing operands at the end are left out */
    while (given && !n->in[given - 1])
        given--;
    sb_printf(out, " = %s(", op_info[n->op].name);
    for (int i = 0; i < given; i++)
        sb_printf(out, "%s%s", i ? ", " : "", n->in[i] ? n->in[i]->name : "_");
    sb_puts(out, ")");
    attrs_print(out, &n->attrs);
}

/* ---- the graph ---------------------------------------------------------------------------- */

static void
put_text_field(StrBuf *out, const char *key, const char *text)
{
    if (!text)
        return;
    sb_printf(out, "  %s ", key);
    sb_put_quoted(out, text);
    sb_puts(out, "\n");
}

static void
put_number_field(StrBuf *out, const char *key, int64_t n)
{
    if (n)
        sb_printf(out, "  %s %lld\n", key, (long long)n);
}

static void
put_header(StrBuf *out, const Graph *g)
{
    put_text_field(out, "weights", g->weights_path);
    put_text_field(out, "tokenizer", g->tokenizer_path);
    for (int i = 0; i < g->neos; i++)
        sb_printf(out, "%s%d", i ? ", " : "  eos [", g->eos[i]);
    sb_puts(out, g->neos ? "]\n" : "");
    put_number_field(out, "seed", g->seed);
    put_number_field(out, "block", g->block);
    put_number_field(out, "rows", g->rows);
    if (g->entry)
        sb_printf(out, "  entry %s\n", g->entry->name);
    put_number_field(out, "slab_bytes", g->slab_bytes);
    put_number_field(out, "param_bytes", g->param_bytes);
    put_number_field(out, "state_bytes", g->state_bytes);
    put_number_field(out, "output_bytes", g->output_bytes);
    put_number_field(out, "kept_bytes", g->kept_bytes);
}

static void
put_values(StrBuf *out, const char *what, Value *const *values, int count)
{
    for (int i = 0; i < count; i++) {
        sb_printf(out, "  %s ", what);
        put_declared(out, values[i]);
        if (values[i]->tensor) {
            sb_puts(out, " tensor=");
            sb_put_quoted(out, values[i]->tensor);
        }
        if (values[i]->init) {
            sb_puts(out, " init=");
            put_word(out, values[i]->init);
        }
        if (values[i]->blocks != BLOCKS_none)
            sb_printf(out, " blocks=%s", blocks_info[values[i]->blocks].name);
        sb_puts(out, "\n");
    }
}

static void
put_nodes(StrBuf *out, const Graph *g)
{
    const Kernel *open = NULL;
    for (const Node *n = g->first; n; n = n->next) {
        if (open && n->kernel != open)
            sb_puts(out, "  }\n");
        if (n->kernel && n->kernel != open) {
            sb_puts(out, "  kernel ");
            put_word(out, n->kernel->name);
            attrs_print(out, &n->kernel->attrs);
            sb_puts(out, " {\n");
        }
        open = n->kernel;
        sb_puts(out, open ? "    " : "  ");
        node_print(out, n);
        sb_puts(out, "\n");
    }
    if (open)
        sb_puts(out, "  }\n");
}

void
graph_print(StrBuf *out, const Graph *g)
{
    sb_puts(out, "graph ");
    sb_put_quoted(out, g->name);
    sb_printf(out, " %s {\n", stage_name[g->stage]);
    put_header(out, g);
    put_values(out, "input", g->inputs, g->ninputs);
    put_values(out, "weight", g->weights, g->nweights);
    put_values(out, "state", g->states, g->nstates);
    put_nodes(out, g);
    for (int i = 0; i < g->noutputs; i++)
        sb_printf(out, "  output %s\n", g->outputs[i]->name);
    sb_puts(out, "}\n");
}
