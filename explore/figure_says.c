/* explore/figure_says.c -- what the points of the figure say, in sentences. */
#include <math.h>
#include <string.h>

#include "explore/figure.h"

/* ---- larger states -------------------------------------------------------------------------- */

/* The one thing the paper's figure is about: what a larger state costs in either form. */
static void
say_growth(StrBuf *out, const Figure *f)
{
    const int64_t least = f->states[0], most = f->states[f->nstates - 1];
    const int64_t tokens = figure_compared(f);
    const char *before = "";
    StrBuf text = {0};
    sb_printf(&text, "From N = %lld to N = %lld, %lld tokens take", (long long)least,
              (long long)most, (long long)tokens);
    for (int form = 0; form < FIGURE_FORMS; form++) {
        const double low = figure_milliseconds(f, (FigureForm)form, least, tokens);
        const double high = figure_milliseconds(f, (FigureForm)form, most, tokens);
        if (low <= 0 || high <= 0 || !bench_mixer_has_size(figure_form[form].mixer))
            continue;
        sb_printf(&text, "%s %.1f times as long (%s)", before, high / low, figure_form[form].label);
        before = ",";
    }
    if (*before)
        sb_printf(out, "%s.\n", sb_text(&text));
    sb_free(&text);
}

/* ---- which is faster ------------------------------------------------------------------------ */

/* Two curves: an SSD of every state size, and what it is compared with. */
typedef struct {
    FigureForm ssd, rival;
    int64_t state;    /* of the rival; 0: that of the SSD, or none */
    const char *what; /* it is, behind its label */
} Race;

static const Race races[] = {
    {FIGURE_CHUNKED,      FIGURE_ATTENTION,      0,  ""                         },
    {FIGURE_CHUNKED_BF16, FIGURE_ATTENTION_BF16, 0,  ""                         },
    {FIGURE_CHUNKED,      FIGURE_SCAN,           0,  " of the same N"           },
    {FIGURE_CHUNKED_BF16, FIGURE_SCAN,           0,  " of the same N"           },
    {FIGURE_CHUNKED,      FIGURE_SCAN,           16, " of N = 16, as in Mamba-1"},
    {FIGURE_CHUNKED_BF16, FIGURE_SCAN,           16, " of N = 16, as in Mamba-1"},
};

/* Rounded to two digits: lengths between two that were measured are no more exact. */
static double
two_digits(double value)
{
    const double unit = pow(10, floor(log10(value)) - 1);
    return round(value / unit) * unit;
}

/* From which length on the SSD is ahead: at every length that both were measured at, at no length,
 * or from where the two curves cross for the last time, straight lines by logarithm between what
 * was measured. "": there is no such length. */
static const char *
verdict(Arena *arena, const Figure *f, const Race *race, int64_t state)
{
    double before = 0, length = 0; /* log of how far ahead at the length before, and that length */
    double from = 0;               /* it is ahead */
    bool ahead = false;
    int count = 0;
    for (int i = 0; i < f->ntokens; i++) {
        const double ssd = figure_milliseconds(f, race->ssd, state, f->tokens[i]);
        const double rival = figure_milliseconds(
            f, race->rival, race->state > 0 ? race->state : state, f->tokens[i]);
        if (ssd <= 0 || rival <= 0)
            continue;
        const double by = log(rival / ssd), at = log((double)f->tokens[i]);
        if (by > 0 && !ahead && count > 0)
            from = length + (at - length) * before / (before - by);
        ahead = by > 0;
        from = ahead ? from : 0;
        before = by;
        length = at;
        count++;
    }
    if (count == 0)
        return "";
    if (!ahead)
        return "at no length";
    return from > 0 ? arena_printf(arena, "from about %.0f tokens on", two_digits(exp(from)))
                    : "at every length";
}

/* States that follow each other and say the same are one entry. */
static void
say_race(StrBuf *out, Arena *arena, const Figure *f, const Race *race)
{
    const char *before = ": ";
    for (int s = 0, next; s < f->nstates; s = next) {
        const char *says = verdict(arena, f, race, f->states[s]);
        for (next = s + 1; next < f->nstates; next++)
            if (strcmp(says, verdict(arena, f, race, f->states[next])) != 0)
                break;
        if (!says[0])
            continue;
        if (*before == ':')
            sb_printf(out, "%s, is ahead of %s%s", figure_form[race->ssd].label,
                      figure_form[race->rival].label, race->what);
        sb_printf(out, "%swith N = %lld", before, (long long)f->states[s]);
        if (next - s > 1)
            sb_printf(out, " to %lld", (long long)f->states[next - 1]);
        sb_printf(out, " %s", says);
        before = "; ";
    }
    if (*before == ';')
        sb_puts(out, ".\n");
}

/* ---- what was not run ----------------------------------------------------------------------- */

static void
say_missing(StrBuf *out, const Figure *f, FigureForm form)
{
    const FigurePoint *first = NULL;
    int count = 0;
    for (int i = 0; i < f->count; i++)
        if (f->points[i].why_not && f->points[i].form == form) {
            first = first ? first : &f->points[i];
            count++;
        }
    if (first)
        sb_printf(out, "%s: %d point%s not run, the first of %lld tokens: %s.\n",
                  figure_form[form].label, count, count == 1 ? " was" : "s were",
                  (long long)first->tokens, first->why_not);
}

void
figure_say(StrBuf *out, const Figure *f)
{
    Arena *arena = arena_new();
    say_growth(out, f);
    for (size_t i = 0; i < COUNT_OF(races); i++)
        say_race(out, arena, f, &races[i]);
    for (int form = 0; form < FIGURE_FORMS; form++)
        say_missing(out, f, (FigureForm)form);
    arena_free(arena);
}
