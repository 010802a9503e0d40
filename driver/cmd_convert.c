/* driver/cmd_convert.c -- ssmc convert: a checkpoint as a directory of safetensors, config.json and
 * tokenizer, under the names and with the values of the library that it comes from. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/driver.h"

typedef struct {
    const Options *o;
    const char *from, *dir;
    bool gguf;
    bool made; /* the directory was not there before */
} Conversion;

static const char *
in_dir(const Conversion *c, const char *name)
{
    return arena_printf(c->o->arena, "%s/%s", c->dir, name);
}

static int
put_file(const Conversion *c, const char *name, const char *text, size_t len)
{
    const char *why = NULL;
    if (file_write(c->o->arena, in_dir(c, name), text, len, &why))
        return EXIT_DONE;
    return fault(EXIT_FAILED, "%s", why);
}

/* Texts of a checkpoint; config.json comes last: without it the directory is no checkpoint. */
static const char *const texts[] = {"tokenizer.json",
                                    "tokenizer.model",
                                    "tekken.json",
                                    "tokenizer_config.json",
                                    "special_tokens_map.json",
                                    "generation_config.json",
                                    "added_tokens.json",
                                    "chat_template.jinja",
                                    "params.json",
                                    "config.json"};
static const char weights_name[] = "model.safetensors";

static int
is_free(const Conversion *c, const char *name)
{
    struct stat st;
    const char *path = in_dir(c, name);
    if (stat(path, &st) != 0)
        return EXIT_DONE;
    return fault(EXIT_BAD_INPUT, "%s is there already; give another directory", path);
}

/* The directory is new, or has none of what is written. */
static int
make_dir(Conversion *c)
{
    c->made = mkdir(c->dir, 0777) == 0;
    if (!c->made && errno != EEXIST)
        return fault(EXIT_BAD_INPUT, "cannot make %s: %s", c->dir, strerror(errno));
    int status = is_free(c, weights_name);
    for (size_t i = COUNT_OF(texts); i-- > 0 && status == EXIT_DONE;)
        status = is_free(c, texts[i]);
    return status;
}

/* What make_dir found free. */
static void
take_back(const Conversion *c)
{
    unlink(in_dir(c, weights_name));
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        unlink(in_dir(c, texts[i]));
    if (c->made)
        rmdir(c->dir);
}

/* Tensors of GGUF files that config.json says. */
static bool
is_said(const char *name)
{
    return strcmp(name, "rope_freqs.weight") == 0;
}

static int
put_weights(const Conversion *c)
{
    ssmc_weights *weights = NULL;
    ssmc_status rs = rt_weights_open(c->from, &weights);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    const int count = rt_weights_count(weights);
    RtTensor *tensors = arena_array(c->o->arena, (size_t)count + 1, sizeof *tensors);
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (!(c->gguf && is_said(rt_weights_at(weights, i)->name)))
            tensors[kept++] = *rt_weights_at(weights, i);
    if (rt_weights_note(weights))
        say("note: %s", rt_weights_note(weights));
    rs = rt_tensors_write(in_dir(c, weights_name), tensors, kept);
    rt_weights_close(weights);
    return rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
}

/* Texts of a directory, as they are; those that are not there are left out. */
static int
copy_texts(const Conversion *c)
{
    enum { MOST = 1 << 29 };
    int status = EXIT_DONE;
    for (size_t i = 0; i < COUNT_OF(texts) && status == EXIT_DONE; i++) {
        const char *path = arena_printf(c->o->arena, "%s/%s", c->from, texts[i]), *why = NULL;
        char *text = NULL;
        size_t len = 0;
        struct stat st;
        if (stat(path, &st) != 0)
            continue;
        status = file_read(c->o->arena, path, MOST, &text, &len, &why)
                     ? put_file(c, texts[i], text, len)
                     : fault(EXIT_BAD_INPUT, "%s", why);
    }
    return status;
}

static int
make_texts(const Conversion *c)
{
    Arena *arena = c->o->arena;
    Diag *diag = diag_new();
    char *bytes = NULL, *config = NULL;
    size_t len = 0, config_len = 0;
    bool tokenizer = false;
    bool good = fe_gguf_config(arena, c->from, diag, &config, &config_len, &tokenizer);
    good = good && (!tokenizer || fe_gguf_tokenizer(arena, c->from, diag, &bytes, &len));
    int status = good ? EXIT_DONE : diag_fault(diag);
    diag_free(diag);
    if (status == EXIT_DONE && bytes)
        status = put_file(c, bytes[0] == '{' ? "tokenizer.json" : "tokenizer.model", bytes, len);
    return status == EXIT_DONE ? put_file(c, "config.json", config, config_len) : status;
}

int
cmd_convert(Options *o)
{
    struct stat st;
    Conversion c = {.o = o, .from = o->model, .dir = opt_text(o, OPT_out)};
    if (!o->model || !c.dir)
        return fault(EXIT_BAD_INPUT, "which model, and where to? usage: ssmc convert %s",
                     o->command->args);
    if (model_is_readable(o->arena, o->model, console(o->arena)) != EXIT_DONE)
        return EXIT_BAD_INPUT;
    c.gguf = rt_kind_of(o->model) == RT_KIND_gguf;
    if (!c.gguf && (stat(o->model, &st) != 0 || !S_ISDIR(st.st_mode)))
        return fault(
            EXIT_BAD_INPUT,
            "%s is neither a checkpoint's directory nor a GGUF file, which can be converted",
            o->model);
    int status = make_dir(&c);
    if (status != EXIT_DONE)
        return status;
    status = put_weights(&c);
    if (status == EXIT_DONE)
        status = c.gguf ? make_texts(&c) : copy_texts(&c);
    if (status != EXIT_DONE)
        take_back(&c);
    return status;
}
