/* driver/cmd_convert.c -- ssmc convert: a checkpoint as a directory of safetensors, config.json and
 * tokenizer, under the names and with the values of the library that it comes from. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/convert.h"

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
static const char *const texts[] = {
    "tokenizer.json",         "tokenizer.model",       "tekken.json",
    "tiktoken.model",         "tokenizer_config.json", "special_tokens_map.json",
    "generation_config.json", "added_tokens.json",     "chat_template.jinja",
    "chat_template.json",     "params.json",           "config.json"};
static const char weights_name[] = "model.safetensors";
static const char chats_name[] = "additional_chat_templates"; /* a directory */

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
    if (status == EXIT_DONE)
        status = is_free(c, chats_name);
    for (size_t i = COUNT_OF(texts); i-- > 0 && status == EXIT_DONE;)
        status = is_free(c, texts[i]);
    return status;
}

/* ---- a directory of templates of chats ------------------------------------------------------ */

typedef int ChatFile(const Conversion *c, const char *name);

/* Those that the checkpoint has, until one fails. */
static int
each_chat(const Conversion *c, ChatFile *with)
{
    DIR *dir = c->gguf ? NULL : opendir(arena_printf(c->o->arena, "%s/%s", c->from, chats_name));
    int status = EXIT_DONE;
    for (struct dirent *e; dir && status == EXIT_DONE && (e = readdir(dir)) != NULL;) {
        const size_t len = strlen(e->d_name);
        if (len > 6 && strcmp(e->d_name + len - 6, ".jinja") == 0)
            status = with(c, arena_printf(c->o->arena, "%s/%s", chats_name, e->d_name));
    }
    if (dir)
        closedir(dir);
    return status;
}

static int
take_chat_back(const Conversion *c, const char *name)
{
    unlink(in_dir(c, name));
    return EXIT_DONE;
}

/* What make_dir found free. */
static void
take_back(const Conversion *c)
{
    unlink(in_dir(c, weights_name));
    each_chat(c, take_chat_back);
    rmdir(in_dir(c, chats_name));
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        unlink(in_dir(c, texts[i]));
    if (c->made)
        rmdir(c->dir);
}

/* config: of a GGUF file. */
static int
put_weights(const Conversion *c, const char *config)
{
    ssmc_weights *weights = NULL;
    ssmc_status rs = rt_weights_open(c->from, &weights);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    RtTensor *tensors = NULL;
    int count = rt_weights_count(weights);
    if (c->gguf) {
        count = convert_tensors(c->o->arena, weights, config, &tensors);
    } else {
        tensors = arena_array(c->o->arena, (size_t)count + 1, sizeof *tensors);
        for (int i = 0; i < count; i++)
            tensors[i] = *rt_weights_at(weights, i);
    }
    if (rt_weights_note(weights))
        say("note: %s", rt_weights_note(weights));
    if (rt_weights_in_blocks(weights))
        say("note: %s are written as f32", rt_weights_in_blocks(weights));
    if (count >= 0)
        rs = rt_tensors_write(in_dir(c, weights_name), tensors, count);
    rt_weights_close(weights);
    if (count < 0)
        return fault(EXIT_FAILED, "%s: no memory for what its blocks stand for", c->from);
    return rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
}

static int
copy_file(const Conversion *c, const char *name)
{
    enum { MOST = 1 << 29 };
    const char *path = arena_printf(c->o->arena, "%s/%s", c->from, name), *why = NULL;
    char *text = NULL;
    size_t len = 0;
    if (!file_read(c->o->arena, path, MOST, &text, &len, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    return put_file(c, name, text, len);
}

static int
copy_chat(const Conversion *c, const char *name)
{
    const char *dir = in_dir(c, chats_name);
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return fault(EXIT_FAILED, "cannot make %s: %s", dir, strerror(errno));
    return copy_file(c, name);
}

/* Texts of a directory, as they are; those that are not there are left out. */
static int
copy_texts(const Conversion *c)
{
    struct stat st;
    int status = each_chat(c, copy_chat);
    for (size_t i = 0; i < COUNT_OF(texts) && status == EXIT_DONE; i++)
        if (stat(arena_printf(c->o->arena, "%s/%s", c->from, texts[i]), &st) == 0)
            status = copy_file(c, texts[i]);
    return status;
}

/* Of a GGUF file: the weights, and the texts that its key-values make. */
static int
make_all(const Conversion *c)
{
    Arena *arena = c->o->arena;
    Diag *diag = diag_new();
    char *bytes = NULL, *config = NULL, *json = NULL;
    size_t len = 0, config_len = 0, json_len = 0;
    FeGgufChat chat = {0};
    bool tokenizer = false;
    bool good = fe_gguf_config(arena, c->from, diag, &config, &config_len, &tokenizer);
    good = good && (!tokenizer || (fe_gguf_tokenizer(arena, c->from, diag, &bytes, &len) &&
                                   fe_gguf_pieces(arena, c->from, diag, &json, &json_len) &&
                                   fe_gguf_chat(arena, c->from, diag, &chat)));
    int status = good ? EXIT_DONE : diag_fault(diag);
    diag_free(diag);
    if (status == EXIT_DONE)
        status = put_weights(c, config);
    if (status == EXIT_DONE && bytes)
        status = put_file(c, bytes[0] == '{' ? "tokenizer.json" : "tokenizer.model", bytes, len);
    if (status == EXIT_DONE && json)
        status = put_file(c, "tokenizer.json", json, json_len);
    if (status == EXIT_DONE && chat.config)
        status = put_file(c, "tokenizer_config.json", chat.config, chat.config_len);
    if (status == EXIT_DONE && chat.text)
        status = put_file(c, "chat_template.jinja", chat.text, chat.len);
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
    status = c.gguf ? make_all(&c) : put_weights(&c, NULL);
    if (status == EXIT_DONE && !c.gguf)
        status = copy_texts(&c);
    if (status != EXIT_DONE)
        take_back(&c);
    return status;
}
