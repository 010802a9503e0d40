/* machine/cost.c -- constants of predicted times: the tables that are shipped, and their text
 * (machine/cost.h). */
#include <stdio.h>
#include <string.h>

#include "machine/machine.h"

static const char *const kind_name[COST_KINDS] = {
#define COST_KIND(id, doc) [COST_##id] = #id,
#include "machine/cost.def"
};

static const char *const term_name[COST_TERMS] = {
#define COST_TERM(id, unit, doc) [COST_##id] = #id,
#include "machine/cost.def"
};

static const char *const step_name[COST_STEPS] = {
#define COST_STEP(id, unit, doc) [COST_##id] = #id,
#include "machine/cost.def"
};

/* ---- what is shipped --------------------------------------------------------------------- */

#define SSD(kind, call, stage, transpose, cb, chunk, token, exp, row, mac, tile, state, far,       \
            steep, away)                                                                           \
    [COST_##kind] = {[COST_call] = call,   [COST_stage] = stage, [COST_transpose] = transpose,     \
                     [COST_cb] = cb,       [COST_chunk] = chunk, [COST_token] = token,             \
                     [COST_exp] = exp,     [COST_row] = row,     [COST_mac] = mac,                 \
                     [COST_tile] = tile,   [COST_state] = state, [COST_far] = far,                 \
                     [COST_steep] = steep, [COST_away] = away}
#define STEPS(...) STEPS_LISTED(__VA_ARGS__) /* an argument may be a macro of several */
#define STEPS_LISTED(f32, f16, bf16, u8, u4x2, blas, conv, decay, pass, read, step, function,      \
                     distant, stream, attend, matrix_bf16, matrix_u8, sums, group, stage, out,     \
                     matrix_attend)                                                                \
    [COST_linear_f32] = f32, [COST_linear_f16] = f16, [COST_linear_bf16] = bf16,                   \
    [COST_linear_u8] = u8, [COST_linear_u4x2] = u4x2, [COST_linear_blas] = blas,                   \
    [COST_conv] = conv, [COST_decay] = decay, [COST_pass] = pass, [COST_read] = read,              \
    [COST_step] = step, [COST_function] = function, [COST_distant] = distant,                      \
    [COST_stream] = stream, [COST_attend] = attend, [COST_matrix_bf16] = matrix_bf16,              \
    [COST_matrix_u8] = matrix_u8, [COST_matrix_sums] = sums, [COST_matrix_group] = group,          \
    [COST_matrix_stage] = stage, [COST_matrix_out] = out, [COST_matrix_attend] = matrix_attend

/* Rows are written by costs_print_row in the order of cost.def. */
_Static_assert(COST_call == 0 && COST_stage == 1 && COST_transpose == 2 && COST_cb == 3 &&
                   COST_chunk == 4 && COST_token == 5 && COST_exp == 6 && COST_row == 7 &&
                   COST_mac == 8 && COST_tile == 9 && COST_state == 10 && COST_far == 11 &&
                   COST_steep == 12 && COST_away == 13 && COST_TERMS == 14,
               "the order of SSD()'s arguments");
_Static_assert(COST_linear_f32 == 0 && COST_linear_f16 == 1 && COST_linear_bf16 == 2 &&
                   COST_linear_u8 == 3 && COST_linear_u4x2 == 4 && COST_linear_blas == 5 &&
                   COST_conv == 6 && COST_decay == 7 && COST_pass == 8 && COST_read == 9 &&
                   COST_step == 10 && COST_function == 11 && COST_distant == 12 &&
                   COST_stream == 13 && COST_attend == 14 && COST_matrix_bf16 == 15 &&
                   COST_matrix_u8 == 16 && COST_matrix_sums == 17 && COST_matrix_group == 18 &&
                   COST_matrix_stage == 19 && COST_matrix_out == 20 && COST_matrix_attend == 21 &&
                   COST_STEPS == 22,
               "the order of STEPS()'s arguments");
_Static_assert(COST_recurrent == 0 && COST_chunked_f32 == 1 && COST_chunked_bf16 == 2 &&
                   COST_chunked_matrix == 3 && COST_KINDS == 4,
               "the order of COSTS()'s arguments");

static const struct {
    const char *cpu; /* "*": any */
    int vector_bytes;
    bool bf16_dot;
    CostTable table;
} shipped[] = {
#define COSTS(cpu, bytes, bf16, recurrent, chunked_f32, chunked_bf16, chunked_matrix, steps,       \
              source)                                                                              \
    {                                                                                              \
        cpu,                                                                                       \
        bytes,                                                                                     \
        bf16,                                                                                      \
        {{recurrent, chunked_f32, chunked_bf16, chunked_matrix}, {steps}, source} \
},
#include "machine/costs.def"
#undef COSTS
};

CostTable
costs_shipped(const Machine *m)
{
    size_t row = 0;
    while (row + 1 < COUNT_OF(shipped) &&
           (m->vector_bytes < shipped[row].vector_bytes ||
            (shipped[row].bf16_dot && !m->bf16_dot) ||
            (shipped[row].cpu[0] != '*' && strcmp(shipped[row].cpu, m->cpu) != 0)))
        row++;
    return shipped[row].table;
}

/* ---- text -------------------------------------------------------------------------------- */

void
costs_print(StrBuf *out, const CostTable *table)
{
    for (int k = 0; k < COST_KINDS; k++)
        for (int t = 0; t < COST_TERMS; t++)
            sb_printf(out, "%s %s %.6g\n", kind_name[k], term_name[t], table->term[k][t]);
    for (int s = 0; s < COST_STEPS; s++)
        sb_printf(out, "prefill %s %.6g\n", step_name[s], table->step[s]);
}

const char *
cost_kind_name(CostKind kind)
{
    return kind_name[kind];
}

const char *
cost_term_name(CostTerm term)
{
    return term_name[term];
}

static void
print_numbers(StrBuf *out, const double *number, int count)
{
    for (int i = 0; i < count; i++)
        sb_printf(out, "%s%.4g", i ? ", " : "", number[i]);
}

void
costs_print_row(StrBuf *out, const Machine *m)
{
    const CostTable *table = &m->costs;
    sb_printf(out, "COSTS(\"%s\", %d, %d,\n", m->cpu, m->vector_bytes, m->bf16_dot);
    for (int k = 0; k < COST_KINDS; k++) {
        sb_printf(out, "    SSD(%s, ", kind_name[k]);
        print_numbers(out, table->term[k], COST_TERMS);
        sb_puts(out, "),\n");
    }
    sb_puts(out, "    STEPS(");
    print_numbers(out, table->step, COST_STEPS);
    sb_printf(out, "),\n    \"%s\")\n", table->source);
}

/* One line, "KIND TERM NS", must be the next that is expected: no line twice, none missing. */
static bool
parse_line(const char **at, const char *kind, const char *term, double *ns)
{
    int end = 0;
    const size_t first = strlen(kind), second = strlen(term);
    const char *p = *at;
    if (strncmp(p, kind, first) != 0 || p[first] != ' ' ||
        strncmp(p + first + 1, term, second) != 0 || p[first + 1 + second] != ' ')
        return false;
    p += first + second + 2;
    if (sscanf(p, "%31lf%n", ns, &end) != 1 || p[end] != '\n' || !(*ns >= 0 && *ns <= 1e9))
        return false;
    *at = p + end + 1;
    return true;
}

/* What stands at `at` is quoted, cut short, its control bytes as '?': it may be anything. */
static bool
parse_fault(Arena *arena, const char *text, const char *at, const char *kind, const char *term,
            const char **why)
{
    enum { MOST = 40 };
    const size_t len = strcspn(at, "\n");
    char *quote = arena_strndup(arena, at, len < MOST ? len : MOST);
    for (char *c = quote; *c; c++)
        *c = *c >= ' ' && *c < 0x7f ? *c : '?';
    int line = 1;
    for (const char *p = text; p < at; p++)
        line += *p == '\n';
    *why = arena_printf(arena,
                        "constant %d: expected `%s %s` and nanoseconds from 0 to 1e9, found `%s`",
                        line, kind, term, quote);
    return false;
}

bool
costs_parse(Arena *arena, const char *text, CostTable *out, const char **why)
{
    CostTable table = {.source = "measured by ssmc tune"};
    const char *at = text;
    for (int k = 0; k < COST_KINDS; k++)
        for (int t = 0; t < COST_TERMS; t++)
            if (!parse_line(&at, kind_name[k], term_name[t], &table.term[k][t]))
                return parse_fault(arena, text, at, kind_name[k], term_name[t], why);
    for (int s = 0; s < COST_STEPS; s++)
        if (!parse_line(&at, "prefill", step_name[s], &table.step[s]))
            return parse_fault(arena, text, at, "prefill", step_name[s], why);
    if (*at) {
        *why = "there is more text than constants";
        return false;
    }
    *out = table;
    return true;
}
