/* compiler/chat.c -- what a model's files say of conversations: the template, and the texts of the
 * tokens that begin and end what it reads. */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/compiler.h"

enum { MOST_BYTES = 64 << 20 };

/* A text of a key, or the content of what is written there: a token may be an object. */
static const char *
token_text(Arena *arena, struct json_object *config, const char *key)
{
    struct json_object *v = NULL, *content = NULL;
    if (json_object_object_get_ex(config, key, &v) &&
        json_object_object_get_ex(v, "content", &content))
        v = content;
    return json_object_is_type(v, json_type_string) ? arena_strdup(arena, json_object_get_string(v))
                                                    : NULL;
}

/* Of templates with names the one called default, or the first. */
static struct json_object *
default_template(struct json_object *list)
{
    struct json_object *chosen = NULL, *name = NULL;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *item = json_object_array_get_idx(list, i);
        const bool called = json_object_object_get_ex(item, "name", &name) &&
                            json_object_is_type(name, json_type_string) &&
                            strcmp(json_object_get_string(name), "default") == 0;
        if (!chosen || called)
            json_object_object_get_ex(item, "template", &chosen);
    }
    return chosen;
}

/* What a tokenizer_config.json says, where nothing has been found before. */
static void
read_config(Job *job, const char *path, const char *text, size_t len, JobChat *out)
{
    struct json_object *config = NULL, *template = NULL;
    json_tokener *tokener = json_tokener_new();
    if (!tokener)
        die_no_memory(0);
    if (len <= MOST_BYTES)
        config = json_tokener_parse_ex(tokener, text, (int)len);
    json_tokener_free(tokener);
    if (!json_object_is_type(config, json_type_object)) {
        json_object_put(config);
        tell_text(job->settings.listener, TOLD_note, "%s is not a JSON object: it is not used",
                  path);
        return;
    }
    if (!out->template && json_object_object_get_ex(config, "chat_template", &template)) {
        if (json_object_is_type(template, json_type_array))
            template = default_template(template);
        if (json_object_is_type(template, json_type_string)) {
            out->template = arena_strdup(job->arena, json_object_get_string(template));
            out->path = arena_printf(job->arena, "%s (chat_template)", path);
        }
    }
    if (!out->bos)
        out->bos = token_text(job->arena, config, "bos_token");
    if (!out->eos)
        out->eos = token_text(job->arena, config, "eos_token");
    json_object_put(config);
}

static int
of_gguf(Job *job, const char *path, JobChat *out)
{
    FeGgufChat found = {0};
    if (!fe_gguf_chat(job->arena, path, job->diag, &found))
        return tell_faults(job->settings.listener, job->diag);
    out->template = found.text;
    out->path = arena_printf(job->arena, "%s (tokenizer.chat_template)", path);
    if (found.config)
        read_config(job, path, found.config, found.config_len, out);
    return EXIT_DONE;
}

/* Of a file that may be there. */
static int
read_beside(Job *job, const char *dir, const char *name, char **text, size_t *len,
            const char **path)
{
    const char *why = NULL;
    *path = arena_printf(job->arena, "%s%s", dir, name);
    *text = NULL;
    if (access(*path, F_OK) != 0)
        return EXIT_DONE;
    if (!file_read(job->arena, *path, MOST_BYTES, text, len, &why))
        return tell_fault(job->settings.listener, EXIT_BAD_INPUT, "%s", why);
    return EXIT_DONE;
}

/* The directory of a checkpoint as the user names it, whose files may be links to elsewhere; else
 * the one that the tokenizer lies in. With a slash at its end. */
static const char *
directory(const Job *job, const char *tokenizer)
{
    struct stat st;
    const char *model = job->settings.model, *slash = strrchr(tokenizer, '/');
    if (stat(model, &st) == 0 && S_ISDIR(st.st_mode))
        return arena_printf(job->arena, "%s/", model);
    return arena_strndup(job->arena, tokenizer, slash ? (size_t)(slash - tokenizer) + 1 : 0);
}

static int
of_directory(Job *job, const char *dir, JobChat *out)
{
    static const char *const configs[] = {"tokenizer_config.json", "special_tokens_map.json"};
    const char *path = NULL;
    char *text = NULL;
    size_t len = 0;
    int status = read_beside(job, dir, "chat_template.jinja", &text, &len, &path);
    if (status == EXIT_DONE && text) {
        out->template = text;
        out->path = path;
    }
    for (size_t i = 0; i < COUNT_OF(configs) && status == EXIT_DONE; i++) {
        status = read_beside(job, dir, configs[i], &text, &len, &path);
        if (status == EXIT_DONE && text)
            read_config(job, path, text, len, out);
    }
    return status;
}

/* The text of the first id that ends a text, where no file names the token. */
static const char *
end_by_id(const Job *job, const Tokenizer *tok)
{
    size_t len = 0;
    const char *text = job->neos ? tok_decode(tok, job->eos[0], &len) : NULL;
    return text ? arena_strndup(job->arena, text, len) : NULL;
}

int
job_chat(Job *job, const Tokenizer *tok, JobChat *out)
{
    const char *path = job->compiled ? NULL : job->fe.graph->tokenizer_path;
    *out = (JobChat){0};
    int status = EXIT_DONE;
    if (job->compiled)
        *out = (JobChat){.template = job->compiled->chat_template,
                         .path = "the template inside",
                         .bos = job->compiled->bos_text,
                         .eos = job->compiled->eos_text};
    if (path)
        status = rt_kind_of(path) == RT_KIND_gguf ? of_gguf(job, path, out)
                                                  : of_directory(job, directory(job, path), out);
    if (status == EXIT_DONE && !out->eos)
        out->eos = end_by_id(job, tok);
    return status;
}
