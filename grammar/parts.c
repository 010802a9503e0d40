/* grammar/parts.c -- grammars that are put together of texts and JSON schemas. */
#include <string.h>

#include "grammar/expr.h"
#include "ir/util.h"

typedef struct {
    Rules *rules;
    const GrammarPart *at, *end;
    bool good;
} Reader;

/* One character that is none of those in `but`. */
static Expr *
other_than(const Reader *r, const char *but)
{
    Range ranges[2];
    int n = 0;
    for (; but[n]; n++)
        ranges[n] = (Range){(uint32_t)(unsigned char)but[n], (uint32_t)(unsigned char)but[n]};
    return expr_class(r->rules->arena, ranges, n, true);
}

static Expr *
sequence(const Reader *r, Expr *a, Expr *b)
{
    Expr *seq = expr_new(r->rules->arena, EXPR_seq, (SrcLoc){0});
    expr_add(r->rules->arena, seq, a);
    expr_add(r->rules->arena, seq, b);
    return seq;
}

/* ([^a] | a+ ([^ab] | b [^ac]))* of a mark that begins with abc, where a is neither b nor c: texts
 * in which abc does not occur, and which do not end within it. */
static Expr *
free_text(const Reader *r, const char *mark)
{
    Arena *arena = r->rules->arena;
    const char a[] = {mark[0], 0}, ab[] = {mark[0], mark[1], 0}, ac[] = {mark[0], mark[2], 0};
    if (strlen(mark) < 3 || a[0] == ab[1] || a[0] == ac[1])
        die("a text before the mark '%s'", mark);
    const char b[] = {mark[1], 0};
    Expr *behind = expr_new(arena, EXPR_alt, (SrcLoc){0}),
         *one = expr_new(arena, EXPR_alt, (SrcLoc){0});
    expr_add(arena, behind, other_than(r, ab));
    expr_add(arena, behind, sequence(r, expr_text(arena, b), other_than(r, ac)));
    expr_add(arena, one, other_than(r, a));
    expr_add(arena, one, sequence(r, expr_repeat(arena, expr_text(arena, a), 1, -1), behind));
    return expr_repeat(arena, one, 0, -1);
}

static Expr *choices(Reader *r);

static Expr *
item(Reader *r)
{
    const GrammarPart *p = r->at++;
    switch (p->kind) {
    case PART_text:
        return expr_text(r->rules->arena, p->text);
    case PART_free:
        return free_text(r, p->text);
    case PART_json: {
        Expr *value = schema_value_of(r->rules, p->schema);
        r->good = r->good && value;
        return value ? value : expr_text(r->rules->arena, "");
    }
    case PART_group:
    case PART_optional: {
        Expr *inside = choices(r);
        r->at++; /* PART_end */
        return p->kind == PART_group ? inside : expr_repeat(r->rules->arena, inside, 0, 1);
    }
    case PART_or:
    case PART_end:
        break;
    }
    die("a part of kind %d is no item", (int)p->kind);
}

/* Sequences with PART_or between them, up to PART_end. */
static Expr *
choices(Reader *r)
{
    Arena *arena = r->rules->arena;
    Expr *alt = expr_new(arena, EXPR_alt, (SrcLoc){0}), *seq = NULL;
    while (r->at < r->end && r->at->kind != PART_end) {
        if (r->at->kind == PART_or) {
            seq = NULL;
            r->at++;
            continue;
        }
        if (!seq) {
            seq = expr_new(arena, EXPR_seq, (SrcLoc){0});
            expr_add(arena, alt, seq);
        }
        expr_add(arena, seq, item(r));
    }
    return alt;
}

bool
parts_read(Rules *rules, const GrammarPart *parts, int count)
{
    Reader r = {rules, parts, parts + count, true};
    if (!gbnf_read_json(rules))
        return false;
    Expr *body = choices(&r);
    rules->rules[0] = (Rule){.name = "#", .body = body};
    return r.good;
}
