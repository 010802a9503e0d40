/* tokenizer/split.c -- splitting expressions: Oniguruma's syntax as PCRE2's, compiled and matched.
 *
 * tokenizer.json holds expressions for Oniguruma (Ruby syntax, Unicode). Where PCRE2 reads
 * something differently the expression is rewritten, and what cannot be rewritten is refused:
 *   \s \S       the property White_Space, spelt out (PCRE2's takes U+180E along)
 *   \uHHHH      \x{HHHH}
 *   \p{Han}     \p{sc:Han} (PCRE2's takes Script_Extensions)
 *   ^ $         (?m:^) (?m:$)
 *   refused     \w \b and other escapes, sets inside classes, {n,m}+ {n}? {,n}, (?m) and other
 *               options than (?i:...), PCRE2's (*VERB)s
 * An expression that matches the empty string is refused, too: it splits nothing. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer/tables.h"

/* White_Space and its complement, as members of a class. */
static const char SPACES[] = "\\x09-\\x0D\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}"
                             "\\x{2029}\\x{202F}\\x{205F}\\x{3000}";
static const char NOT_SPACES[] =
    "\\x00-\\x08\\x0E-\\x1F\\x21-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}"
    "\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}"
    "\\x{3001}-\\x{10FFFF}";

const char SPLIT_GPT2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

struct Splitter {
    pcre2_code *code;
    bool jit;
};

struct SplitRun {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* ---- Oniguruma's syntax as PCRE2's ----------------------------------------------------------- */

typedef struct {
    Arena *arena;
    const char *text, *end; /* what is left of the expression */
    bool in_class;
    StrBuf out;
    const char *why;
} Rewrite;

static bool
refuse(Rewrite *rw, size_t len)
{
    const size_t left = (size_t)(rw->end - rw->text);
    rw->why = arena_printf(rw->arena, "uses `%.*s` here, which ssmc does not support",
                           (int)(len < left ? len : left), rw->text);
    return false;
}

static bool
take(Rewrite *rw, size_t len)
{
    sb_putn(&rw->out, rw->text, len);
    rw->text += len;
    return true;
}

static bool
starts(const Rewrite *rw, const char *prefix)
{
    const size_t len = strlen(prefix);
    return (size_t)(rw->end - rw->text) >= len && memcmp(rw->text, prefix, len) == 0;
}

/* Length of `open ... }` from the text, or 0 when it does not close. */
static size_t
braced(const Rewrite *rw)
{
    const char *close = memchr(rw->text, '}', (size_t)(rw->end - rw->text));
    return close ? (size_t)(close - rw->text) + 1 : 0;
}

/* General categories mean the same on both sides; every other name is taken for a script. */
static bool
rewrite_property(Rewrite *rw)
{
    const size_t len = braced(rw);
    if (len < 5 || rw->text[2] != '{')
        return refuse(rw, len ? len : 2);
    const bool negated = rw->text[3] == '^';
    const char *name = rw->text + 3 + negated;
    const size_t n = len - 4 - negated;
    for (size_t i = 0; i < n; i++) {
        if (!isalpha((unsigned char)name[i]) && name[i] != '_')
            return refuse(rw, len);
    }
    const bool category = n >= 1 && n <= 2 && strchr("CLMNPSZ", name[0]);
    sb_printf(&rw->out, "\\%c{%s%s%.*s}", rw->text[1], negated ? "^" : "",
              category ? "" : "sc:", (int)n, name);
    rw->text += len;
    return true;
}

static bool
rewrite_code_point(Rewrite *rw)
{
    if (rw->text[1] == 'x') {
        const size_t len = starts(rw, "\\x{") ? braced(rw) : 0;
        return len ? take(rw, len) : refuse(rw, 2);
    }
    size_t n = 0;
    while (n < 4 && rw->text + 2 + n < rw->end && isxdigit((unsigned char)rw->text[2 + n]))
        n++;
    if (n < 4)
        return refuse(rw, 2 + n);
    sb_printf(&rw->out, "\\x{%.4s}", rw->text + 2);
    rw->text += 6;
    return true;
}

static bool
rewrite_escape(Rewrite *rw)
{
    if (rw->end - rw->text < 2)
        return refuse(rw, 1);
    const char c = rw->text[1];
    if (c == 's' || c == 'S') {
        sb_printf(&rw->out, rw->in_class ? "%s" : "[%s]", c == 's' ? SPACES : NOT_SPACES);
        rw->text += 2;
        return true;
    }
    if (c == 'p' || c == 'P')
        return rewrite_property(rw);
    if (c == 'u' || c == 'x')
        return rewrite_code_point(rw);
    if (ispunct((unsigned char)c) || (c && strchr("dDnrtf", c)))
        return take(rw, 2);
    return refuse(rw, 2);
}

/* A repeat count, where both sides agree on it. */
static bool
rewrite_brace(Rewrite *rw)
{
    const size_t len = braced(rw);
    if (len < 3 || !isdigit((unsigned char)rw->text[1]) ||
        strspn(rw->text + 1, "0123456789,") != len - 2)
        return refuse(rw, len ? len : 1);
    if (rw->text + len < rw->end && (rw->text[len] == '+' || rw->text[len] == '?'))
        return refuse(rw, len + 1);
    return take(rw, len);
}

static bool
rewrite_group(Rewrite *rw)
{
    static const char *const known[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:"};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (starts(rw, known[i]))
            return take(rw, strlen(known[i]));
    }
    if (starts(rw, "(?") || starts(rw, "(*"))
        return refuse(rw, 3);
    return take(rw, 1);
}

static bool
rewrite_in_class(Rewrite *rw)
{
    if (*rw->text == '[' || starts(rw, "&&"))
        return refuse(rw, *rw->text == '[' ? 1 : 2);
    rw->in_class = *rw->text != ']';
    return take(rw, 1);
}

static bool
rewrite_next(Rewrite *rw)
{
    const char c = *rw->text;
    if (c == '\\')
        return rewrite_escape(rw);
    if (rw->in_class)
        return rewrite_in_class(rw);
    if (c == '[') {
        rw->in_class = true;
        take(rw, starts(rw, "[^") ? 2 : 1);
        return starts(rw, "]") ? refuse(rw, 1) : true;
    }
    if (c == '(')
        return rewrite_group(rw);
    if (c == '{')
        return rewrite_brace(rw);
    if (c != '^' && c != '$')
        return take(rw, 1);
    sb_printf(&rw->out, "(?m:%c)", c);
    rw->text++;
    return true;
}

/* ---- compiling ------------------------------------------------------------------------------- */

static pcre2_code *
compile(Arena *arena, Slice text, bool literal, const char **why)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        die_no_memory(0);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int error = 0;
    PCRE2_SIZE at = 0;
    const uint32_t options =
        PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C);
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text.text, text.len, options, &error, &at, context);
    pcre2_compile_context_free(context);
    if (code)
        return code;
    PCRE2_UCHAR message[160] = {0};
    pcre2_get_error_message(error, message, sizeof message);
    *why = arena_printf(arena, "is no regular expression: %s", (const char *)message);
    return NULL;
}

Splitter *
splitter_new(Arena *arena, Slice pattern, bool literal, const char **why)
{
    Rewrite rw = {.arena = arena, .text = pattern.text, .end = pattern.text + pattern.len};
    if (literal)
        take(&rw, pattern.len);
    pcre2_code *code = NULL;
    while (rw.text < rw.end && rewrite_next(&rw))
        continue;
    if (rw.text < rw.end)
        *why = rw.why;
    else
        code = compile(arena, (Slice){sb_text(&rw.out), rw.out.len}, literal, why);
    sb_free(&rw.out);
    if (!code)
        return NULL;
    uint32_t empty = 0;
    pcre2_pattern_info(code, PCRE2_INFO_MATCHEMPTY, &empty);
    if (empty) {
        *why = "can match nothing, and would split nothing";
        pcre2_code_free(code);
        return NULL;
    }
    Splitter *splitter = arena_alloc(arena, sizeof *splitter);
    splitter->code = code;
    splitter->jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
    return splitter;
}

Splitter *
splitter_own(Arena *arena, const char *pattern)
{
    const char *why = NULL;
    Splitter *splitter = splitter_new(arena, (Slice){pattern, strlen(pattern)}, false, &why);
    if (!splitter)
        die("our own expression %s %s", pattern, why);
    return splitter;
}

#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200C}\\x{200D}"

static Splitter *
splitter_pcre2(Arena *arena, const char *pattern)
{
    const char *why = NULL;
    pcre2_code *code = compile(arena, (Slice){pattern, strlen(pattern)}, false, &why);
    if (!code)
        die("our own expression %s %s", pattern, why);
    Splitter *splitter = arena_alloc(arena, sizeof *splitter);
    splitter->code = code;
    return splitter;
}

/* Word characters as UTS 18 has them (annex C, \w). */
Splitter *
splitter_word(Arena *arena)
{
    return splitter_pcre2(arena, "[" WORD "]");
}

Splitter *
splitter_words(Arena *arena)
{
    StrBuf pattern = {0};
    sb_printf(&pattern, "[" WORD "]+|[^" WORD "%s]+", SPACES);
    Splitter *splitter = splitter_pcre2(arena, sb_text(&pattern));
    splitter->jit = pcre2_jit_compile(splitter->code, PCRE2_JIT_COMPLETE) == 0;
    sb_free(&pattern);
    return splitter;
}

void
splitter_free(Splitter *splitter)
{
    if (splitter)
        pcre2_code_free(splitter->code);
}

/* ---- matching -------------------------------------------------------------------------------- */

SplitRun *
split_run_new(void)
{
    enum { HEAP_KIB = 1 << 18, STACK_FIRST = 1 << 15, STACK_MOST = 1 << 26 };
    SplitRun *run = calloc(1, sizeof *run);
    if (!run)
        die_no_memory(0);
    run->data = pcre2_match_data_create(1, NULL);
    run->context = pcre2_match_context_create(NULL);
    if (!run->data || !run->context)
        die_no_memory(0);
    pcre2_set_heap_limit(run->context, HEAP_KIB);
    run->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, NULL);
    if (run->stack)
        pcre2_jit_stack_assign(run->context, NULL, run->stack);
    return run;
}

void
split_run_free(SplitRun *run)
{
    if (!run)
        return;
    pcre2_jit_stack_free(run->stack);
    pcre2_match_context_free(run->context);
    pcre2_match_data_free(run->data);
    free(run);
}

SplitResult
splitter_find(const Splitter *splitter, SplitRun *run, Slice text, size_t from, size_t *start,
              size_t *end)
{
    const PCRE2_SPTR subject = (PCRE2_SPTR)text.text;
    /* Usual expressions backtrack a few times per character; others must end, too. */
    const size_t limit =
        text.len < (UINT32_MAX - 10000000u) / 16 ? 10000000u + 16 * text.len : UINT32_MAX;
    pcre2_set_match_limit(run->context, (uint32_t)limit);
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (splitter->jit)
        rc = pcre2_jit_match(splitter->code, subject, text.len, from, 0, run->data, run->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(splitter->code, subject, text.len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         run->data, run->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return SPLIT_NONE;
    if (rc < 0)
        return SPLIT_GAVE_UP;
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(run->data);
    *start = found[0];
    *end = found[1];
    return *end > *start ? SPLIT_FOUND : SPLIT_GAVE_UP;
}
