/* ir/parse.c -- the text form of whole graphs:
 *
 *     graph = "graph" WORD stage "{" { field | declaration | statement | kernel | output } "}"
 *
 * The names of a graph are those its text defines; values of nested calls get fresh ones. After a
 * fault reading goes on with the next line; what the broken statement would have defined is
 * remembered, so that its users are not reported too. */
#include "ir/parse.h"

#include <string.h>

enum { MAX_FAULTS = 50 }; /* reading stops after that many */

typedef struct {
    ParseScope scope;
    Parser p;
    Graph *g;
    NameTable *defined; /* values the text names; a result without a node: its statement failed */
    Kernel *kernel;     /* whose braces are open */
    int earlier;        /* faults reported before */
} GraphParser;

/* ---- the scope ---------------------------------------------------------------------------- */

static Value *
look_up(ParseScope *scope, const char *name, SrcLoc loc, bool *absent)
{
    const GraphParser *gp = scope->user;
    (void)loc;
    *absent = false;
    return names_find(gp->defined, name, strlen(name));
}

static const char *
suggest(ParseScope *scope, const char *name)
{
    const GraphParser *gp = scope->user;
    return names_nearest(gp->defined, name);
}

/* Makes a name of the text free: a nested call's value that happens to have it gets another. */
static void
claim_name(GraphParser *gp, const char *name)
{
    Value *holder = graph_find(gp->g, name);
    if (holder)
        graph_rename(gp->g, holder, NULL);
}

/* Gives v a name of the text. */
static void
define(GraphParser *gp, const char *name, Value *v)
{
    if (strcmp(v->name, name)) {
        claim_name(gp, name);
        graph_rename(gp->g, v, name);
    }
    names_add(gp->defined, v);
}

static bool
check_new(GraphParser *gp, const Token *name)
{
    const Value *old = names_find(gp->defined, name->text, name->len);
    if (!old)
        return true;
    diag_error(gp->p.diag, name->loc, "%s is defined twice", lex_found(gp->p.arena, name));
    return diag_also(gp->p.diag, old->loc, "the first time here");
}

/* Remembers a name whose definition failed. */
static void
define_broken(GraphParser *gp, const Token *name)
{
    if (names_find(gp->defined, name->text, name->len))
        return;
    Value *v = arena_alloc(gp->p.arena, sizeof *v);
    v->kind = VALUE_RESULT;
    v->name = parser_text(&gp->p, name);
    v->loc = name->loc;
    names_add(gp->defined, v);
}

/* ---- header fields ------------------------------------------------------------------------ */

typedef enum {
    FIELD_TEXT,
    FIELD_INT,
    FIELD_EOS,
    FIELD_ENTRY,
    ITEM_INPUT,
    ITEM_WEIGHT,
    ITEM_STATE,
    ITEM_OUTPUT,
    ITEM_KERNEL
} KeywordKind;

/* What a line of a graph that is no statement starts with. */
typedef struct {
    const char *name; /* first: nearest_name reads it */
    KeywordKind kind;
    size_t offset; /* of a field, in Graph */
} Keyword;

static const Keyword keywords[] = {
    {"input", ITEM_INPUT, 0},
    {"weight", ITEM_WEIGHT, 0},
    {"state", ITEM_STATE, 0},
    {"output", ITEM_OUTPUT, 0},
    {"kernel", ITEM_KERNEL, 0},
    {"weights", FIELD_TEXT, offsetof(Graph, weights_path)},
    {"tokenizer", FIELD_TEXT, offsetof(Graph, tokenizer_path)},
    {"eos", FIELD_EOS, 0},
    {"seed", FIELD_INT, offsetof(Graph, seed)},
    {"block", FIELD_INT, offsetof(Graph, block)},
    {"rows", FIELD_INT, offsetof(Graph, rows)},
    {"entry", FIELD_ENTRY, 0},
    {"slab_bytes", FIELD_INT, offsetof(Graph, slab_bytes)},
    {"param_bytes", FIELD_INT, offsetof(Graph, param_bytes)},
    {"state_bytes", FIELD_INT, offsetof(Graph, state_bytes)},
    {"output_bytes", FIELD_INT, offsetof(Graph, output_bytes)},
    {"kept_bytes", FIELD_INT, offsetof(Graph, kept_bytes)},
};

/* '[' integer (',' integer)* ']' */
static bool
parse_eos(GraphParser *gp)
{
    Parser *p = &gp->p;
    Graph *g = gp->g;
    int32_t *ids = NULL;
    int cap = 0;
    g->neos = 0;
    if (!parser_expect(p, '[', "before the ids that end a text"))
        return false;
    do {
        const SrcLoc loc = p->token.loc;
        int64_t id;
        if (!parser_integer(p, &id, "a token id"))
            return false;
        if (id > INT32_MAX)
            return diag_error(p->diag, loc, "the id %lld is beyond every vocabulary",
                              (long long)id);
        VEC_PUSH(g->arena, ids, g->neos, cap, (int32_t)id);
    } while (parser_accept(p, ','));
    g->eos = ids;
    return parser_expect(p, ']', "behind the ids that end a text");
}

static bool
parse_entry(GraphParser *gp)
{
    Parser *p = &gp->p;
    const SrcLoc loc = p->token.loc;
    const char *text,
        *names = names_listed(p->arena, entry_info, ENTRY_COUNT, sizeof *entry_info, "or");
    if (!parser_word(p, &text, names))
        return false;
    gp->g->entry = entry_by_name(text);
    return gp->g->entry || diag_error(p->diag, loc, "unknown entry `%s`, expected %s", text, names);
}

static bool
parse_field(GraphParser *gp, const Keyword *field)
{
    Parser *p = &gp->p;
    char *at = (char *)gp->g + field->offset;
    if (field->kind == FIELD_INT) {
        int64_t n;
        const bool minus = parser_accept(p, '-');
        if (!parser_integer(p, &n, "a whole number"))
            return false;
        n = minus ? -n : n;
        memcpy(at, &n, sizeof n);
        return true;
    }
    const char *text;
    if (!parser_word(p, &text, "a text in quotes"))
        return false;
    memcpy(at, &text, sizeof text);
    return true;
}

/* ---- declarations ------------------------------------------------------------------------- */

typedef struct {
    Token name;
    Type type;
    Place place;
    const char *tensor, *init, *blocks;
    SrcLoc blocks_loc;
} Declaration;

enum { WEIGHT_OPTIONS = 3 };

static bool
parse_option(GraphParser *gp, Declaration *d)
{
    static const char *const options[WEIGHT_OPTIONS] = {"tensor", "init", "blocks"};
    const char **const to[WEIGHT_OPTIONS] = {&d->tensor, &d->init, &d->blocks};
    const Token name = parser_take(&gp->p);
    const char *text = parser_text(&gp->p, &name);
    int i = 0;
    while (i < WEIGHT_OPTIONS && strcmp(text, options[i]) != 0)
        i++;
    if (i == WEIGHT_OPTIONS)
        return diag_error(
            gp->p.diag, name.loc, "unknown option `%s` of a weight%s", text,
            parser_hint(&gp->p, nearest_name(text, options, COUNT_OF(options), sizeof options[0])));
    d->blocks_loc = to[i] == &d->blocks ? name.loc : d->blocks_loc;
    return parser_expect(&gp->p, '=', "after the option") && parser_word(&gp->p, to[i], "a text");
}

static bool
at_option(const GraphParser *gp)
{
    if (gp->p.token.kind != TK_NAME || gp->p.token.starts_line)
        return false;
    const Token next = parser_peek(&gp->p);
    return next.kind == TK_PUNCT && next.punct == '=';
}

static bool
parse_declared(GraphParser *gp, ValueKind kind, Declaration *d)
{
    Parser *p = &gp->p;
    if (!parser_expect(p, ':', "and a type") || !parse_type(p, &d->type))
        return false;
    if (parser_at(p, '@') && !parse_place(p, &d->place))
        return false;
    while (kind == VALUE_WEIGHT && at_option(gp))
        if (!parse_option(gp, d))
            return false;
    return true;
}

static bool
blocks_fit(const Declaration *d, WeightBlocks blocks)
{
    const int rank = d->type.shape.rank;
    const Dim *last = rank > 1 ? &d->type.shape.dim[rank - 1] : NULL;
    return blocks == BLOCKS_none ||
           (d->type.dtype == DTYPE_f32 && last && last->kind == DIM_CONST &&
            last->n % blocks_info[blocks].group == 0);
}

static const char *
type_text_of(const GraphParser *gp, const Type *type)
{
    StrBuf sb = {0};
    type_print(&sb, type);
    const char *text = arena_strdup(gp->p.arena, sb_text(&sb));
    sb_free(&sb);
    return text;
}

static bool
parse_declaration(GraphParser *gp, ValueKind kind)
{
    Declaration d = {0};
    if (!parser_name(&gp->p, &d.name, "a name") || !check_new(gp, &d.name))
        return false;
    const bool reserved = !name_is_valid(d.name.text, d.name.len);
    if (reserved)
        diag_error(gp->p.diag, d.name.loc, "%s cannot be a name: it is reserved",
                   lex_found(gp->p.arena, &d.name));
    if (reserved || !parse_declared(gp, kind, &d)) {
        define_broken(gp, &d.name);
        return false;
    }
    const char *name = parser_text(&gp->p, &d.name);
    claim_name(gp, name);
    const SrcLoc loc = d.name.loc;
    WeightBlocks blocks = BLOCKS_none;
    if (d.blocks &&
        (!blocks_by_name(d.blocks, strlen(d.blocks), &blocks) || !blocks_fit(&d, blocks)))
        diag_error(
            gp->p.diag, d.blocks_loc,
            "a weight of type %s lies in no blocks %s; they are Q8_0, Q5_0, Q6_K, Q4_0, Q4_1, "
            "Q4_K or other, of f32 rows that are whole groups",
            type_text_of(gp, &d.type), d.blocks);
    Value *v = kind == VALUE_INPUT   ? graph_input(gp->g, name, d.type, loc)
               : kind == VALUE_STATE ? graph_state(gp->g, name, d.type, loc)
                                     : graph_weight(gp->g, name, d.type, d.tensor, d.init, loc);
    v->place = d.place;
    v->blocks = blocks;
    define(gp, name, v);
    return true;
}

static bool
parse_output(GraphParser *gp)
{
    Token name;
    if (!parser_name(&gp->p, &name, "the name of a result"))
        return false;
    Value *v = names_find(gp->defined, name.text, name.len);
    if (v && v->kind == VALUE_RESULT && !v->def)
        return false;
    if (v && v->kind == VALUE_RESULT) {
        graph_output(gp->g, v);
        return true;
    }
    return diag_error(
        gp->p.diag, name.loc, "%s %s%s", v ? "only a result can be an output, not" : "unknown name",
        lex_found(gp->p.arena, &name),
        parser_hint(&gp->p, v ? NULL : suggest(&gp->scope, parser_text(&gp->p, &name))));
}

/* ---- statements and kernels --------------------------------------------------------------- */

static bool
parse_result(GraphParser *gp)
{
    Statement s;
    Node *last = gp->g->last;
    const bool ok = parse_statement(&gp->p, &s);
    bool defined = ok;
    for (Node *node = last ? last->next : gp->g->first; node; node = node->next)
        node->kernel = gp->kernel;
    for (int i = 0; !ok && i < s.ntargets; i++)
        define_broken(gp, &s.targets[i].name);
    if (ok && !s.node)
        return diag_error(
            gp->p.diag, s.targets[0].name.loc,
            "%s would only be another name for a value; a graph names each value once",
            lex_found(gp->p.arena, &s.targets[0].name));
    for (int i = s.ntargets - 1; ok && i >= 0; i--) {
        const Token *name = &s.targets[i].name;
        if (check_new(gp, name))
            define(gp, parser_text(&gp->p, name), s.node->out[i]);
        else
            defined = false;
    }
    return defined;
}

static bool
kernel_takes_attr(Op op, AttrId id, bool *required)
{
    (void)op;
    *required = false;
    return kernel_has_attr(id);
}

/* Whether the brace that comes next holds attributes: after their closing brace the body opens. */
static bool
at_kernel_attrs(const GraphParser *gp)
{
    Lexer ahead = gp->p.lexer;
    ahead.quiet = true;
    Token token = lex_next(&ahead);
    while (token.kind != TK_END && !(token.kind == TK_PUNCT && strchr("{}", token.punct)))
        token = lex_next(&ahead);
    if (token.kind == TK_END || token.punct != '}')
        return false;
    token = lex_next(&ahead);
    return token.kind == TK_PUNCT && token.punct == '{';
}

static bool
parse_kernel(GraphParser *gp, SrcLoc loc)
{
    const char *name;
    AttrList attrs = {0};
    if (gp->kernel)
        return diag_error(gp->p.diag, loc, "a kernel inside kernel `%s`", gp->kernel->name);
    if (!parser_word(&gp->p, &name, "the name of the kernel"))
        return false;
    if (parser_at(&gp->p, '{') && at_kernel_attrs(gp) &&
        !parse_attrs(&gp->p, "kernel", (Op)0, kernel_takes_attr, &attrs))
        return false;
    if (!parser_expect(&gp->p, '{', "and the ops of the kernel"))
        return false;
    gp->kernel = graph_kernel(gp->g, name);
    gp->kernel->attrs = attrs;
    return true;
}

/* ---- items of a graph --------------------------------------------------------------------- */

static bool
parse_keyword(GraphParser *gp)
{
    const Token word = parser_take(&gp->p);
    const char *text = parser_text(&gp->p, &word);
    const Keyword *known = keywords, *end = keywords + COUNT_OF(keywords);
    while (known < end && strcmp(text, known->name))
        known++;
    if (known == end)
        return diag_error(
            gp->p.diag, word.loc,
            "expected a statement, input, weight, state, kernel, output or a header line, found "
            "%s%s",
            lex_found(gp->p.arena, &word),
            parser_hint(&gp->p, nearest_name(text, keywords, COUNT_OF(keywords), sizeof *known)));
    switch (known->kind) {
    case FIELD_TEXT:
    case FIELD_INT:
        return parse_field(gp, known);
    case FIELD_ENTRY:
        return parse_entry(gp);
    case FIELD_EOS:
        return parse_eos(gp);
    case ITEM_INPUT:
        return parse_declaration(gp, VALUE_INPUT);
    case ITEM_WEIGHT:
        return parse_declaration(gp, VALUE_WEIGHT);
    case ITEM_STATE:
        return parse_declaration(gp, VALUE_STATE);
    case ITEM_OUTPUT:
        return parse_output(gp);
    case ITEM_KERNEL:
        return parse_kernel(gp, word.loc);
    }
    return false;
}

static bool
parse_item(GraphParser *gp)
{
    if (gp->p.token.kind != TK_NAME)
        return parser_expected(&gp->p, "a statement or `}`");
    const Token next = parser_peek(&gp->p);
    const bool is_statement = next.kind == TK_PUNCT && strchr(":,=", next.punct);
    return is_statement ? parse_result(gp) : parse_keyword(gp);
}

/* Goes on with the next line after a fault. */
static void
skip_line(Parser *p, const char *start)
{
    if (p->token.text == start && p->token.kind != TK_END)
        parser_take(p);
    while (p->token.kind != TK_END && !p->token.starts_line)
        parser_take(p);
}

static bool
parse_items(GraphParser *gp)
{
    Parser *p = &gp->p;
    while (p->token.kind != TK_END && diag_errors(p->diag) - gp->earlier < MAX_FAULTS) {
        if (!parser_at(p, '}')) {
            const char *start = p->token.text;
            if (!parse_item(gp))
                skip_line(p, start);
            continue;
        }
        parser_take(p);
        if (!gp->kernel)
            return true;
        gp->kernel = NULL;
    }
    return diag_errors(p->diag) == gp->earlier && parser_expected(p, "`}` at the end of the graph");
}

static bool
parse_graph(GraphParser *gp)
{
    Parser *p = &gp->p;
    Token word;
    const char *name;
    if (!parser_name(p, &word, "`graph`"))
        return false;
    if (word.len != 5 || memcmp(word.text, "graph", 5))
        return diag_error(p->diag, word.loc, "expected `graph`, found %s",
                          lex_found(p->arena, &word));
    if (!parser_word(p, &name, "the name of the graph") ||
        !parser_name(p, &word, "a stage: model, lowered or kernel"))
        return false;
    gp->g->name = name;
    if (!stage_by_name(word.text, word.len, &gp->g->stage)) {
        const char *near = nearest_name(parser_text(p, &word), stage_name, COUNT_OF(stage_name),
                                        sizeof stage_name[0]);
        return diag_error(p->diag, word.loc,
                          "unknown stage %s, expected model, lowered or kernel%s",
                          lex_found(p->arena, &word), parser_hint(p, near));
    }
    if (!parser_expect(p, '{', "before the contents of the graph") || !parse_items(gp))
        return false;
    return p->token.kind == TK_END || parser_expected(p, "nothing after the graph");
}

Graph *
graph_parse(Arena *arena, const Source *source, Diag *diag)
{
    GraphParser gp = {.g = graph_new(arena, ""), .earlier = diag_errors(diag)};
    gp.scope = (ParseScope){
        .graph = gp.g,
        .diag = diag,
        .user = &gp,
        .lookup = look_up,
        .suggest = suggest,
    };
    gp.defined = names_new(arena);
    parser_start(&gp.p, &gp.scope, source, 1, 1, source->text, source->len);
    const bool whole = parse_graph(&gp);
    if (!whole || diag_errors(diag) != gp.earlier)
        return NULL;
    for (Node *node = gp.g->first; node; node = node->next)
        if (node->kernel && node_anchors(node))
            node->kernel->anchor = node; /* the last one holds, as in kernel_find_anchor */
    return graph_verify(gp.g, diag) ? gp.g : NULL;
}
