/* tests/unit/test_checkpoint.c -- checkpoints as people have them: names with another prefix, a
 * stored head, other layouts and types of tensors, two sets of files. Each is made of the golden's
 * tensors, so that its logits are known: they are the golden's, or twice those where the head is
 * twice the embedding. */
#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "runtime/rt.h"
#include "tests/harness.h"

#define GOLDEN    SSMC_ROOT "/tests/goldens/mamba2-base"
#define IDS       GOLDEN "/golden.safetensors"
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { MOST = 128, NAME = 128 };

/* The golden's tensors, to be changed, and a directory for them. */
typedef struct {
    RtTensorFile *file;
    char names[MOST][NAME];
    RtTensor tensors[MOST];
    int count;
    char *dir, *weights;
    char *config; /* text of config.json */
    void *made[MOST];
    int nmade;
} Checkpoint;

static void
begin(Checkpoint *c)
{
    *c = (Checkpoint){.dir = temp_dir(), .config = read_whole(GOLDEN "/config.json", NULL)};
    c->weights = path_join(c->dir, "model.safetensors");
    cr_assert_eq(rt_tensors_open(GOLDEN "/model.safetensors", &c->file), SSMC_OK);
    c->count = rt_tensors_count(c->file);
    cr_assert(c->config && c->count < MOST - 4);
    for (int i = 0; i < c->count; i++) {
        c->tensors[i] = *rt_tensors_at(c->file, i);
        snprintf(c->names[i], NAME, "%s", c->tensors[i].name);
    }
}

static void
end(Checkpoint *c)
{
    for (int i = 0; i < c->nmade; i++)
        free(c->made[i]);
    rt_tensors_close(c->file);
    temp_dir_remove(c->dir);
    free(c->weights);
    free(c->config);
}

static RtTensor *
add(Checkpoint *c, const char *name, const RtTensor *like)
{
    RtTensor *t = &c->tensors[c->count];
    *t = *like;
    cr_assert_lt(strlen(name), (size_t)NAME);
    strcpy(c->names[c->count++], name);
    return t;
}

static RtTensor *
find(Checkpoint *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->names[i], name) == 0)
            return &c->tensors[i];
    cr_assert_fail("no tensor %s", name);
    return NULL;
}

/* The names of those tensors whose names start with `from` start with `to`. */
static void
rename_all(Checkpoint *c, const char *from, const char *to)
{
    char name[NAME];
    for (int i = 0; i < c->count; i++) {
        if (strncmp(c->names[i], from, strlen(from)) != 0)
            continue;
        cr_assert_lt(strlen(c->names[i]) + strlen(to), (size_t)NAME);
        strcpy(name, to);
        strcat(name, c->names[i] + strlen(from));
        strcpy(c->names[i], name);
    }
}

/* The elements of an F32 tensor times `factor`, as F32 or F64. */
static void
copy_elements(Checkpoint *c, RtTensor *t, const char *dtype, double factor)
{
    const bool wide = strcmp(dtype, "F64") == 0;
    const size_t n = t->bytes / sizeof(float), size = wide ? sizeof(double) : sizeof(float);
    char *data = malloc(n * size);
    cr_assert(data && c->nmade < MOST);
    c->made[c->nmade++] = data;
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, (const char *)t->data + i * sizeof x, sizeof x);
        const double y = x * factor;
        const float narrow = (float)y;
        memcpy(data + i * size, wide ? (const void *)&y : (const void *)&narrow, size);
    }
    t->dtype = dtype;
    t->data = data;
    t->bytes = n * size;
}

static void
write_tensors(Checkpoint *c, const char *file, int from, int to)
{
    char *path = path_join(c->dir, file);
    for (int i = 0; i < c->count; i++)
        c->tensors[i].name = c->names[i];
    cr_assert_eq(rt_tensors_write(path, c->tensors + from, to - from), SSMC_OK, "%s", ssmc_error());
    free(path);
}

static void
write_text(const Checkpoint *c, const char *file, const char *text)
{
    char *path = path_join(c->dir, file);
    cr_assert(write_whole(path, text, strlen(text)));
    free(path);
}

/* In config.json. */
static void
replace_config(Checkpoint *c, const char *from, const char *to)
{
    cr_assert(strstr(c->config, from), "config.json lacks %s", from);
    char *text = text_replace(c->config, from, to);
    free(c->config);
    c->config = text;
}

static CommandResult
run_logits(const Checkpoint *c, const char *set, const char *out)
{
    write_text(c, "config.json", c->config);
    const char *argv[] = {SSMC_BINARY, "logits", c->dir, "--ids", IDS,
                          "--out",     out,      NULL,   NULL,    NULL};
    if (set) {
        argv[7] = "--set";
        argv[8] = set;
    }
    return command_run(argv, NULL, 0);
}

/* Largest |got - factor * want| over the logits of two files. */
static double
difference(const char *got, const char *want, double factor)
{
    RtTensorFile *a = NULL, *b = NULL;
    double most = 0;
    cr_assert(rt_tensors_open(got, &a) == SSMC_OK && rt_tensors_open(want, &b) == SSMC_OK);
    for (int i = 0; i < rt_tensors_count(b); i++) {
        const RtTensor *w = rt_tensors_at(b, i), *g = rt_tensors_find(a, w->name);
        if (strncmp(w->name, "logits_", 7) != 0)
            continue;
        cr_assert(g && g->bytes == w->bytes);
        for (size_t k = 0; k < w->bytes / sizeof(float); k++) {
            float x, y;
            memcpy(&x, (const char *)g->data + k * sizeof x, sizeof x);
            memcpy(&y, (const char *)w->data + k * sizeof y, sizeof y);
            most = isfinite(x) ? fmax(most, fabs(x - factor * y)) : HUGE_VAL;
        }
    }
    rt_tensors_close(a);
    rt_tensors_close(b);
    return most;
}

/* It runs, the logits are the golden's times factor, and stderr is one line that has `note`; NULL:
 * stderr is empty. */
static void
expect_logits(const Checkpoint *c, const char *set, double factor, const char *note)
{
    char *out = path_join(c->dir, "out");
    CommandResult r = run_logits(c, set, out);
    cr_expect_eq(r.status, 0, "status %d: %s", r.status, r.err);
    if (r.status == 0)
        cr_expect_lt(difference(out, IDS, factor), 1e-3);
    cr_expect(note ? strstr(r.err, note) != NULL : r.err_len == 0, "stderr lacks '%s': %s",
              note ? note : "nothing", r.err);
    const char *line = strchr(r.err, '\n');
    cr_expect(!line || line[1] == '\0', "more than a line: %s", r.err);
    command_free(&r);
    free(out);
}

static void
expect_refused(const Checkpoint *c, const char *const *says)
{
    CommandResult r = run_logits(c, NULL, "/dev/null");
    cr_expect_eq(r.status, 2, "status %d: %s", r.status, r.err);
    for (size_t i = 0; says[i]; i++)
        cr_expect(strstr(r.err, says[i]), "stderr lacks '%s': %s", says[i], r.err);
    command_free(&r);
}

static void
write_weights(Checkpoint *c)
{
    write_tensors(c, "model.safetensors", 0, c->count);
}

/* ---- names --------------------------------------------------------------------------------- */

Test(checkpoint, names_with_another_prefix)
{
    static const struct {
        const char *from, *to, *note;
    } cases[] = {
        {"",          "module.",       "its names carry the prefix 'module.', which was taken off"},
        {"",          "_orig_mod.",    "carry the prefix '_orig_mod.'"                            },
        {"",          "module.model.", "carry the prefix 'module.model.'"                         },
        {"backbone.", "",              "its names lack the prefix 'backbone.', which was put on"  },
        {"backbone.", "module.",       "have 'module.' where 'backbone.' is known"                },
        {"",          "model.",        "carry the prefix 'model.'"                                },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Checkpoint c;
        begin(&c);
        rename_all(&c, cases[i].from, cases[i].to);
        write_weights(&c);
        expect_logits(&c, NULL, 1, cases[i].note);
        end(&c);
    }
}

Test(checkpoint, an_untied_head_keeps_its_name_where_the_others_lack_a_prefix)
{
    Checkpoint c;
    begin(&c);
    rename_all(&c, "backbone.", "");
    add(&c, "lm_head.weight", find(&c, "embeddings.weight"));
    write_weights(&c);
    replace_config(&c, "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    expect_logits(&c, NULL, 1, "lack the prefix 'backbone.'");
    end(&c);
}

Test(checkpoint, one_message_where_no_name_is_known)
{
    Checkpoint c;
    begin(&c);
    for (int i = 0; i < c.count; i++)
        snprintf(c.names[i], NAME, "blk.%d", i);
    write_weights(&c);
    expect_refused(&c, ARGS("none of its ", "'blk.0', 'blk.1', 'blk.2' ...",
                            "the model wants 'backbone.embeddings.weight'", "`tensors:`",
                            "`ignored:`"));
    end(&c);
}

Test(checkpoint, a_prefix_does_not_hide_what_is_missing)
{
    Checkpoint c;
    begin(&c);
    rename_all(&c, "", "module.");
    rename_all(&c, "module.backbone.layers.1.mixer.D", "module.backbone.layers.1.mixer.E");
    write_weights(&c);
    expect_refused(&c, ARGS("there is no tensor 'backbone.layers.1.mixer.D'",
                            "--set 'ignored=[module.backbone.layers.1.mixer.E]'"));
    end(&c);
}

Test(checkpoint, unused_tensors_are_named_with_what_lets_them_be)
{
    Checkpoint c;
    begin(&c);
    const RtTensor *like = find(&c, "backbone.norm_f.weight");
    add(&c, "backbone.layers.0.mixer.num_batches_tracked", like);
    add(&c, "backbone.layers.1.mixer.num_batches_tracked", like);
    add(&c, "a, b", like);
    write_weights(&c);
    expect_refused(&c, ARGS("there are tensors 'backbone.layers.0.mixer.num_batches_tracked', ",
                            "--set 'ignored=[backbone.layers.<i>.mixer.num_batches_tracked, \"a, "
                            "b\"]' lets them be"));
    expect_logits(&c, "ignored=[backbone.layers.<i>.mixer.num_batches_tracked, \"a, b\"]", 1, NULL);
    end(&c);
}

Test(checkpoint, many_unused_tensors_have_one_pattern)
{
    Checkpoint c;
    begin(&c);
    const int own = c.count;
    for (int i = 0; i < own; i++) {
        char name[NAME + 4];
        snprintf(name, sizeof name, "ema.%s", c.names[i]);
        add(&c, name, &c.tensors[i]);
        cr_assert_lt(c.count, MOST);
    }
    write_weights(&c);
    expect_refused(&c, ARGS("--set 'ignored=[ema.*]' lets them be"));
    expect_logits(&c, "ignored=[ema.*]", 1, NULL);
    end(&c);
}

/* ---- the head ------------------------------------------------------------------------------ */

static void
with_head(Checkpoint *c, const char *dtype, double factor)
{
    begin(c);
    copy_elements(c, add(c, "lm_head.weight", find(c, "backbone.embeddings.weight")), dtype,
                  factor);
    write_weights(c);
}

Test(checkpoint, a_stored_head_that_equals_the_embedding_is_tied)
{
    Checkpoint c;
    with_head(&c, "F32", 1);
    expect_logits(&c, NULL, 1, NULL);
    end(&c);
    with_head(&c, "F64", 1);
    expect_logits(&c, NULL, 1, NULL);
    end(&c);
}

Test(checkpoint, a_stored_head_that_differs_is_used)
{
    Checkpoint c;
    with_head(&c, "F32", 2);
    expect_logits(&c, NULL, 2, "tensor 'lm_head.weight' differs from 'backbone.embeddings.weight'");
    expect_logits(&c, "ignored=[lm_head.weight]", 1, NULL);
    CommandResult r = command_run(ARGS(SSMC_BINARY, "import", c.dir), NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, "tie_embeddings: false\n"), "%s", r.out);
    cr_expect(strstr(r.err, "note: the checkpoint's head differs"), "%s", r.err);
    command_free(&r);
    char *so = path_join(c.dir, "m.so"), *out = path_join(c.dir, "o");
    r = command_run(ARGS(SSMC_BINARY, "compile", c.dir, "--set", "name=m", "--emit", "so",
                         "--weights", "embed", "-o", so),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    r = command_run(ARGS(SSMC_BINARY, "logits", so, "--ids", IDS, "--out", out), NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    cr_expect_lt(difference(out, IDS, 2), 2e-3);
    free(so);
    free(out);
    end(&c);
}

Test(checkpoint, a_stored_head_of_another_shape_is_refused)
{
    Checkpoint c;
    begin(&c);
    RtTensor *head = add(&c, "lm_head.weight", find(&c, "backbone.embeddings.weight"));
    head->dim[1] /= 2;
    head->bytes /= 2;
    write_weights(&c);
    expect_refused(&c, ARGS("tensor 'lm_head.weight' has the shape [160,32]; expected [160,64], "
                            "which is that of 'backbone.embeddings.weight'",
                            "\"tie_word_embeddings\": true"));
    end(&c);
}

/* ---- layouts and types ---------------------------------------------------------------------- */

Test(checkpoint, a_convolution_with_its_size_of_1_last)
{
    Checkpoint c;
    begin(&c);
    for (int i = 0; i < c.count; i++) {
        RtTensor *t = &c.tensors[i];
        if (!strstr(c.names[i], "conv1d.weight"))
            continue;
        t->dim[1] = t->dim[2];
        t->dim[2] = 1;
    }
    write_weights(&c);
    expect_logits(&c, NULL, 1,
                  "conv1d.weight' and 2 more taken with the shape [192,4,1] for [192,1,4]");
    char *so = path_join(c.dir, "m.so"), *out = path_join(c.dir, "o");
    CommandResult r = command_run(
        ARGS(SSMC_BINARY, "compile", c.dir, "--set", "name=m", "--emit", "so", "-o", so), NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    r = command_run(ARGS(SSMC_BINARY, "logits", so, "--ids", IDS, "--out", out), NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    cr_expect_lt(difference(out, IDS, 1), 1e-3);
    free(so);
    free(out);
    end(&c);
}

Test(checkpoint, other_orders_of_sizes_are_refused)
{
    Checkpoint c;
    begin(&c);
    RtTensor *t = find(&c, "backbone.layers.0.mixer.conv1d.weight");
    t->dim[0] = 4;
    t->dim[2] = 192;
    write_weights(&c);
    expect_refused(&c, ARGS("has the shape [4,1,192]; expected [192,1,4]"));
    end(&c);
}

Test(checkpoint, doubles_are_rounded)
{
    Checkpoint c;
    begin(&c);
    for (int i = 0; i < c.count; i++)
        if (strstr(c.names[i], "A_log") || strstr(c.names[i], "in_proj"))
            copy_elements(&c, &c.tensors[i], "F64", 1);
    write_weights(&c);
    expect_logits(&c, NULL, 1, "and 5 more of F64 rounded to F32");
    end(&c);
}

/* ---- two sets of files ---------------------------------------------------------------------- */

/* An index that says that tensors from `half` on are in b.safetensors, those before in a. */
static void
write_index(const Checkpoint *c, int half)
{
    char text[MOST * (NAME + 32)];
    int n = snprintf(text, sizeof text, "{\"weight_map\": {");
    for (int i = 0; i < c->count; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s\"%s\": \"%s\"", i ? ", " : "",
                      c->names[i], i < half ? "a.safetensors" : "b.safetensors");
    snprintf(text + n, sizeof text - (size_t)n, "}}");
    write_text(c, "model.safetensors.index.json", text);
}

Test(checkpoint, the_one_file_is_taken_if_it_holds_what_the_index_names)
{
    Checkpoint c;
    begin(&c);
    const int half = c.count / 2;
    write_index(&c, half);
    write_weights(&c);
    expect_logits(&c, NULL, 1,
                  "note: model.safetensors is taken, not the files of"); /* none there */
    for (int i = 0; i < c.count; i++) /* older ones, of another model */
        copy_elements(&c, &c.tensors[i], "F32", 0.5);
    write_tensors(&c, "a.safetensors", 0, half);
    write_tensors(&c, "b.safetensors", half, c.count);
    expect_logits(&c, NULL, 1, "note: model.safetensors is taken, not the files of");
    end(&c);
}

Test(checkpoint, the_index_is_taken_if_the_one_file_lacks_a_tensor)
{
    Checkpoint c;
    begin(&c);
    const int half = c.count / 2;
    write_index(&c, half);
    write_tensors(&c, "a.safetensors", 0, half);
    write_tensors(&c, "b.safetensors", half, c.count);
    write_tensors(&c, "model.safetensors", 0, half);
    expect_logits(&c, NULL, 1,
                  "note: the files of model.safetensors.index.json are taken, not "
                  "model.safetensors: it lacks tensor '");
    write_text(&c, "model.safetensors", "cut");
    expect_logits(&c, NULL, 1, "not model.safetensors: ");
    end(&c);
}

Test(checkpoint, an_index_that_names_the_one_file_is_nothing_to_speak_of)
{
    Checkpoint c;
    begin(&c);
    write_weights(&c);
    write_text(&c, "model.safetensors.index.json",
               "{\"weight_map\": {\"backbone.norm_f.weight\": \"model.safetensors\"}}");
    expect_logits(&c, NULL, 1, NULL);
    end(&c);
}

/* ---- config.json ---------------------------------------------------------------------------- */

Test(checkpoint, numbers_as_other_writers_spell_them)
{
    static const char *const changes[][2] = {
        {"\"expand\": 2",            "\"expand\": 2.0"                       },
        {"\"num_heads\": 8",         "\"num_heads\": 8.0"                    },
        {"\"vocab_size\": 160",      "\"vocab_size\": 1.6e2"                 },
        {"\"num_heads\": 8,",        ""                                      },
        {"\"head_dim\": 16,",        ""                                      },
        {"\"head_dim\": 16,",        "\"head_dim\": null,"                   },
        {"\"hidden_act\": \"silu\"", "\"time_step_limit\": [0, \"Infinity\"]"},
        {"\"hidden_act\": \"silu\"", "\"x\": null"                           },
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        Checkpoint c;
        begin(&c);
        if (strstr(changes[i][1], "time_step_limit"))
            replace_config(&c, "\"time_step_limit\"", "\"chunk_size\"");
        replace_config(&c, changes[i][0], changes[i][1]);
        write_weights(&c);
        expect_logits(&c, NULL, 1, NULL);
        end(&c);
    }
}

/* The limit and the epsilon of flash-linear-attention's names do what transformers' names do. */
Test(checkpoint, two_spellings_of_the_limit_and_the_epsilon)
{
    Checkpoint c;
    begin(&c);
    write_weights(&c);
    replace_config(&c, "\"layer_norm_epsilon\": 1e-05", "\"layer_norm_epsilon\": 1e-02");
    replace_config(&c, "\"time_step_limit\"", "\"time_step_limit\": [0.01, 0.2], \"chunk_size\"");
    char *a = path_join(c.dir, "a"), *b = path_join(c.dir, "b");
    CommandResult r = run_logits(&c, NULL, a);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    replace_config(&c, "layer_norm_epsilon", "norm_eps");
    replace_config(&c, "\"time_step_limit\"", "\"dt_limit\"");
    r = run_logits(&c, NULL, b);
    cr_assert_eq(r.status, 0, "%s", r.err);
    cr_expect_eq(r.err_len, 0, "%s", r.err);
    command_free(&r);
    RtTensorFile *file = NULL;
    cr_assert_eq(rt_tensors_open(a, &file), SSMC_OK);
    rt_tensors_close(file);
    cr_expect_eq(difference(b, a, 1), 0);
    cr_expect_gt(difference(a, IDS, 1), 0.1);
    free(a);
    free(b);
    end(&c);
}

/* ---- weights made of several tensors ------------------------------------------------------- */

static const char split_yaml[] =
    "name: mamba2-base\nvocab: 160\ndim: 64\neps: 1e-05\ntie_embeddings: true\neos: 2\n"
    "layers:\n  - {block: mamba2, repeat: 3, state: 32, head_dim: 16}\n"
    "family: mamba2\nweights: %s\n%s";
static const char split_tensors[] =
    "tensors:\n"
    "  layers.<i>.mixer.in_proj.weight:\n"
    "    rows: [l.<i>.z, l.<i>.x, l.<i>.B, l.<i>.C, l.<i>.dt]\n"
    "  layers.<i>.mixer.D: [not.there.<i>, {stack: heads.<i>.<e>.D}]\n"
    "  layers.<i>.*: backbone.layers.<i>.*\n";

static void
write_yaml(const Checkpoint *c, const char *file, const char *weights, const char *tensors)
{
    StrBuf text = {0};
    sb_printf(&text, split_yaml, weights, tensors);
    write_text(c, file, sb_text(&text));
    sb_free(&text);
}

/* in_proj as z, x, B, C and dt, and D as a tensor without dimensions for each head. */
static void
split_weights(Checkpoint *c)
{
    static const struct {
        const char *name;
        int64_t rows;
    } parts[] = {
        {"z",  128},
        {"x",  128},
        {"B",  32 },
        {"C",  32 },
        {"dt", 8  }
    };
    const int count = c->count;
    for (int i = 0; i < count; i++) {
        const RtTensor whole = c->tensors[i];
        int layer = 0;
        if (sscanf(c->names[i], "backbone.layers.%d.mixer", &layer) != 1)
            continue;
        const char *at = whole.data;
        const bool is_D = strstr(c->names[i], ".D") != NULL;
        if (!is_D && !strstr(c->names[i], "in_proj"))
            continue;
        for (int k = 0; k < (is_D ? 8 : 5); k++) {
            char name[NAME];
            if (is_D)
                snprintf(name, NAME, "heads.%d.%d.D", layer, k);
            else
                snprintf(name, NAME, "l.%d.%s", layer, parts[k].name);
            RtTensor part = whole;
            part.rank = is_D ? 0 : 2;
            part.dim[0] = is_D ? 1 : parts[k].rows;
            part.bytes = (is_D ? 1 : (size_t)parts[k].rows * 64) * sizeof(float);
            part.data = at;
            at += part.bytes;
            if (k == 0) {
                snprintf(c->names[i], NAME, "%s", name);
                c->tensors[i] = part;
                continue;
            }
            cr_assert_lt(c->count, MOST);
            snprintf(c->names[c->count], NAME, "%s", name);
            c->tensors[c->count++] = part;
        }
    }
}

static RtTensor *
part_named(Checkpoint *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->names[i], name) == 0)
            return &c->tensors[i];
    cr_assert_fail("no %s", name);
    return NULL;
}

static char *
logits_of(const Checkpoint *c, const char *model, const char *dtype, const char *more, size_t *len)
{
    char *path = path_join(c->dir, model), *out = path_join(c->dir, "out");
    CommandResult r = command_run(ARGS(SSMC_BINARY, "logits", path, "--ids", IDS, "--out", out,
                                       dtype ? "--dtype" : more, dtype, more),
                                  NULL, 0);
    cr_assert_eq(r.status, 0, "%s: %s", model, r.err);
    char *bytes = read_whole(out, len);
    command_free(&r);
    free(path);
    free(out);
    return bytes;
}

static void
expect_same_logits(const Checkpoint *c, const char *model, const char *dtype, const char *more)
{
    size_t len = 0, want_len = 0;
    char *want = logits_of(c, "one.yaml", dtype, NULL, &want_len);
    char *got = logits_of(c, model, strstr(model, ".so") ? NULL : dtype, more, &len);
    cr_expect(len == want_len && memcmp(want, got, len) == 0, "%s %s: other logits", model, dtype);
    free(want);
    free(got);
}

static void
split_begin(Checkpoint *c)
{
    begin(c);
    split_weights(c);
    write_weights(c);
    write_yaml(c, "one.yaml", GOLDEN "/model.safetensors", "");
    write_yaml(c, "split.yaml", "model.safetensors", split_tensors);
}

Test(checkpoint, weights_of_several_tensors_give_the_same_bits)
{
    Checkpoint c;
    split_begin(&c);
    expect_same_logits(&c, "split.yaml", "f32", NULL);
    expect_same_logits(&c, "split.yaml", "bf16", NULL);
    expect_same_logits(&c, "split.yaml", "int8", NULL);
    expect_same_logits(&c, "split.yaml", "f32", "--check-each");
    char *cache = path_join(c.dir, "packs"), option[PATH_MAX];
    snprintf(option, sizeof option, "--pack-cache=%s", cache);
    for (int i = 0; i < 2; i++) /* packed, then found */
        expect_same_logits(&c, "split.yaml", "f32", option);
    free(cache);
    char *yaml = path_join(c.dir, "split.yaml");
    for (const char *const *how = ARGS("embed", "external"); *how; how++) {
        char *so = path_join(c.dir, "m.so");
        CommandResult r = command_run(
            ARGS(SSMC_BINARY, "compile", yaml, "--emit", "so", "--weights", *how, "-o", so), NULL,
            0);
        cr_assert_eq(r.status, 0, "%s", r.err);
        expect_same_logits(&c, "m.so", "f32", NULL);
        command_free(&r);
        free(so);
    }
    snprintf(c.names[part_named(&c, "l.1.x") - c.tensors], NAME, "l.1.y");
    write_weights(&c);
    char *so = path_join(c.dir, "m.so");
    CommandResult r =
        command_run(ARGS(SSMC_BINARY, "logits", so, "--ids", IDS, "--out", "/dev/null"), NULL, 0);
    cr_expect(r.status != 0 && strstr(r.err, "lacks tensor 'l.1.x', of which a weight is made"),
              "%s", r.err);
    command_free(&r);
    free(so);
    free(yaml);
    end(&c);
}

static void
expect_split_refused(Checkpoint *c, const char *says)
{
    write_weights(c);
    char *yaml = path_join(c->dir, "split.yaml");
    CommandResult r =
        command_run(ARGS(SSMC_BINARY, "logits", yaml, "--ids", IDS, "--out", "/dev/null"), NULL, 0);
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err, says), "stderr lacks '%s': %s", says, r.err);
    command_free(&r);
    free(yaml);
}

Test(checkpoint, weights_of_several_tensors_that_do_not_fit)
{
    Checkpoint c;
    split_begin(&c);
    RtTensor *x = part_named(&c, "l.1.x"), *dt = part_named(&c, "l.2.dt");
    const RtTensor x_was = *x, dt_was = *dt;
    snprintf(c.names[x - c.tensors], NAME, "l.1.y");
    expect_split_refused(&c,
                         "there is no tensor 'l.1.x', of which with others "
                         "`layers.1.mixer.in_proj.weight` is made, [328,64]; the nearest is 'l.1.");
    expect_split_refused(&c, "there is a tensor 'l.1.y', which the model does not use");
    snprintf(c.names[x - c.tensors], NAME, "l.1.x");
    x->dim[0] = 64, x->dim[1] = 128;
    expect_split_refused(&c, "tensor 'l.1.x' has the shape [64,128]; expected rows of [328,64], as "
                             "it is one of 5 of which `layers.1.mixer.in_proj.weight` is made");
    *x = x_was;
    dt->dim[0] = 7;
    dt->bytes = 7 * 64 * sizeof(float);
    expect_split_refused(&c, "tensors 'l.2.z' to 'l.2.dt' have 327 rows together; expected 328: "
                             "`layers.2.mixer.in_proj.weight` [328,64] is made of them");
    *dt = dt_was;
    dt->dtype = "F16";
    dt->bytes /= 2;
    expect_split_refused(&c, "tensor 'l.2.dt' has the type F16; expected F32, which 'l.2.z' has: "
                             "`layers.2.mixer.in_proj.weight` is made of both");
    *dt = dt_was;
    static const char *const wrong[] = {
        "{rows: []}",      "{stack: heads}", "{stack: a.<e>, rows: [b]}", "{cols: [a]}",
        "[a, {stack: 3}]", "{stack: []}",    "{stack: [a.<e>, b]}"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        StrBuf map = {0};
        sb_printf(&map, "tensors: {layers.<i>.mixer.D: %s}\n", wrong[i]);
        write_yaml(&c, "split.yaml", "model.safetensors", sb_text(&map));
        expect_split_refused(&c, "a weight of several tensors is {rows: [NAME, NAME ...]}");
        sb_free(&map);
    }
    write_yaml(&c, "split.yaml", "model.safetensors",
               "tensors: {layers.<i>.mixer.D: {rows: [a+b, c]}}\n");
    expect_split_refused(&c, "the name of one of several tensors has no '+'");
    static const char *const made[][2] = {
        {"{made: zeros}",                "a weight that a checkpoint may lack is {made: RULE <i>}"},
        {"{made: zeros 3}",              "a weight that a checkpoint may lack is {made: RULE <i>}"},
        {"{made: zeros <i>, rows: [a]}", "a weight that a checkpoint may lack is {made: RULE <i>}"},
        {"[q, {made: sevens <i>}]",      "weight 'made: sevens 1 of 3' is made by no rule"        },
    };
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        StrBuf map = {0};
        sb_printf(&map, "tensors: {layers.<i>.mixer.D: %s}\n", made[i][0]);
        write_yaml(&c, "split.yaml", "model.safetensors", sb_text(&map));
        expect_split_refused(&c, made[i][1]);
        sb_free(&map);
    }
    end(&c);
}

/* ---- very many tensors ---------------------------------------------------------------------- */

/* 400 layers of 50 projections, compiled from a checkpoint; then one whose names are of another
 * model from the middle on. */
Test(checkpoint, twenty_thousand_tensors)
{
    enum { LAYERS = 400, EACH = 50, DIM = 4, COUNT = LAYERS * EACH + 2 };
    static float data[64 * DIM];
    char *dir = temp_dir(), *yaml = path_join(dir, "m.yaml"), *out = path_join(dir, "m.o");
    char *weights = path_join(dir, "model.safetensors");
    char(*names)[NAME] = calloc(COUNT, NAME);
    RtTensor *tensors = calloc(COUNT, sizeof *tensors);
    StrBuf text = {0};
    sb_printf(&text,
              "name: many\nvocab: 64\ndim: %d\ntie_embeddings: true\nweights: model.safetensors\n"
              "layers: [{block: wide, repeat: %d}]\nblocks:\n  - block: wide\n    weights:\n",
              DIM, LAYERS);
    for (int i = 0; i < EACH; i++)
        sb_printf(&text, "      p%d.weight: {shape: [dim, dim], init: uniform_fan_in}\n", i);
    sb_puts(&text, "    ops:\n");
    for (int i = 0; i < EACH; i++)
        sb_printf(&text, "      - h = h + linear(h, p%d.weight)\n", i);
    write_whole(yaml, sb_text(&text), text.len);
    for (int i = 0; i < COUNT; i++)
        tensors[i] = (RtTensor){
            .name = names[i],
            .dtype = "F32",
            .rank = 2,
            .dim = {DIM, DIM},
            .data = data,
            .bytes = DIM * DIM * sizeof(float)
        };
    for (int i = 0; i < COUNT - 2; i++)
        snprintf(names[i], NAME, "layers.%d.p%d.weight", i / EACH, i % EACH);
    snprintf(names[COUNT - 2], NAME, "embedding.weight");
    tensors[COUNT - 2].dim[0] = 64;
    tensors[COUNT - 2].bytes = sizeof data;
    snprintf(names[COUNT - 1], NAME, "norm.weight");
    tensors[COUNT - 1].rank = 1;
    tensors[COUNT - 1].bytes = DIM * sizeof(float);
    cr_assert_eq(rt_tensors_write(weights, tensors, COUNT), SSMC_OK, "%s", ssmc_error());
    const char *const argv[] = {SSMC_BINARY, "compile", yaml, "--emit", "obj", "-o", out, NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    for (int i = COUNT / 2; i < COUNT - 2; i++)
        snprintf(names[i], NAME, "experts.%d.p%d.weight", i / EACH, i % EACH);
    cr_assert_eq(rt_tensors_write(weights, tensors, COUNT), SSMC_OK, "%s", ssmc_error());
    r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err, "ignored=[experts.<i>.p") || strstr(r.err, "ignored=[experts.*]"), "%s",
              r.err);
    cr_expect(strstr(r.err, "there is no tensor 'layers.200.p1.weight' [4,4]"), "%s", r.err);
    cr_expect(strstr(r.err, "more"), "%s", r.err);
    command_free(&r);
    sb_free(&text);
    temp_dir_remove(dir);
    free(yaml);
    free(out);
    free(weights);
    free(names);
    free(tensors);
}
