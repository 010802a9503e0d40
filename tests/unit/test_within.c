/* tests/unit/test_within.c -- checkpoints whose config.json describes a language model beside what
 * reads pictures: the language model alone is read, under the names that its tensors have there,
 * and gives the logits of the golden that it is made from. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "tests/golden.h"
#include "tests/harness.h"

#define GOLDEN SSMC_ROOT "/tests/goldens/qwen3_5_moe_text-base"

enum { MOST = 512, LAYERS = 4, EXPERTS = 4 };

typedef struct {
    Arena *arena;
    char *dir;
    RtTensorFile *file;
    RtTensor list[MOST];
    int count;
} Within;

static void
put(Within *w, const char *name, RtTensor tensor)
{
    cr_assert_lt(w->count, MOST);
    tensor.name =
        arena_printf(w->arena, "%s%s", strncmp(name, "model.", 6) ? "" : "model.language_model.",
                     strncmp(name, "model.", 6) ? name : name + 6);
    w->list[w->count++] = tensor;
}

/* Experts of a layer in one tensor: of each what is called a, and then what is called b. */
static void
put_stack(Within *w, int layer, const char *name, const char *a, const char *b)
{
    const char *const of[] = {a, b};
    const int each = b ? 2 : 1;
    RtTensor stack = {.dtype = "F32", .rank = 3, .dim = {EXPERTS}};
    char *data = NULL;
    for (int e = 0; e < EXPERTS * each; e++) {
        const RtTensor *t = rt_tensors_find(
            w->file, arena_printf(w->arena, "model.layers.%d.mlp.experts.%d.%s.weight", layer,
                                  e / each, of[e % each]));
        cr_assert(t);
        if (!data)
            data = arena_array(w->arena, t->bytes * (size_t)(EXPERTS * each), 1);
        memcpy(data + stack.bytes, t->data, t->bytes);
        stack.bytes += t->bytes;
        stack.dim[1] = t->dim[0] * each;
        stack.dim[2] = t->dim[1];
    }
    stack.data = data;
    put(w, arena_printf(w->arena, "model.layers.%d.mlp.experts.%s", layer, name), stack);
}

/* stacked: experts are a tensor for all. */
static void
write_checkpoint(Within *w, bool stacked)
{
    static const float picture[4] = {1, 2, 3, 4};
    w->count = 0;
    for (int i = 0; i < rt_tensors_count(w->file); i++) {
        const RtTensor *t = rt_tensors_at(w->file, i);
        if (!stacked || !strstr(t->name, ".experts."))
            put(w, t->name, *t);
    }
    for (int i = 0; stacked && i < LAYERS; i++) {
        put_stack(w, i, "gate_up_proj", "gate_proj", "up_proj");
        put_stack(w, i, "down_proj", "down_proj", NULL);
    }
    w->list[w->count++] = (RtTensor){.name = "model.visual.patch_embed.weight",
                                     .dtype = "F32",
                                     .rank = 1,
                                     .dim = {4},
                                     .data = picture,
                                     .bytes = sizeof picture};
    char *path = path_join(w->dir, "model.safetensors");
    cr_assert_eq(rt_tensors_write(path, w->list, w->count), SSMC_OK, "%s", ssmc_error());
    free(path);
}

static void
write_config(const Within *w, const char *text)
{
    char *path = path_join(w->dir, "config.json");
    cr_assert(write_whole(path, text, strlen(text)));
    free(path);
}

static void
begin(Within *w)
{
    char *config = read_whole(GOLDEN "/config.json", NULL);
    *w = (Within){.arena = arena_new(), .dir = temp_dir()};
    cr_assert(config);
    cr_assert_eq(rt_tensors_open(GOLDEN "/model.safetensors", &w->file), SSMC_OK);
    char *part = text_replace(config, "  \"tie_word_embeddings\": false,\n", "");
    cr_assert(strlen(part) < strlen(config));
    write_config(w, arena_printf(w->arena,
                                 "{\"model_type\": \"qwen3_5_moe\", \"vision_config\": {}, "
                                 "\"tie_word_embeddings\": false,\n\"text_config\": %s}",
                                 part));
    free(part);
    free(config);
}

static void
end(Within *w)
{
    rt_tensors_close(w->file);
    temp_dir_remove(w->dir);
    arena_free(w->arena);
}

Test(within, the_language_model_of_a_larger_one_gives_its_logits)
{
    Within w;
    begin(&w);
    for (int stacked = 0; stacked < 2; stacked++) {
        const char *const none[] = {NULL};
        write_checkpoint(&w, stacked);
        char *said = golden_check(w.dir, GOLDEN "/golden.safetensors", none, GOLDEN_F32);
        cr_expect(strstr(said, "note: the language model alone is compiled: what text_config"),
                  "%s", said);
        cr_expect(strstr(said, "note: 1 tensor left out, model.visual.*: what reads pictures"),
                  "%s", said);
        free(said);
    }
    end(&w);
}

static void
expect_refused(const Within *w, const char *config, const char *says)
{
    write_config(w, config);
    CommandResult r =
        command_run((const char *const[]){SSMC_BINARY, "import", w->dir, NULL}, NULL, 0);
    cr_expect_eq(r.status, 2);
    cr_expect(strstr(r.err, says), "stderr lacks '%s': %s", says, r.err);
    command_free(&r);
}

Test(within, a_language_model_that_is_not_described)
{
    Within w;
    begin(&w);
    write_checkpoint(&w, true);
    expect_refused(&w, "{\"model_type\": \"qwen3_5\"}",
                   "config.json:1:1: error: the key 'text_config' is missing; it describes the "
                   "language model");
    expect_refused(&w, "{\"model_type\": \"lfm2_vl\", \"text_config\": [1]}",
                   "config.json:1:42: error: text_config is no object; it describes the language "
                   "model");
    expect_refused(&w, "{\"model_type\": \"qwen3_5\", \"text_config\": {\"model_type\": \"x\"}}",
                   "error: model_type is 'x'; known are");
    expect_refused(&w, "{\"model_type\": \"y\"}", "model_type \"lfm2_vl\"");
    end(&w);
}
