/* driver/depfile.c -- which files a product was made of, as a rule that make and Ninja read: a
 * build makes the product again when one of them is newer. */
#include <sys/stat.h>

#include "driver/product.h"

/* A name in such a rule, with what parts names there escaped. */
static void
put_name(StrBuf *out, const char *name)
{
    for (; *name; name++) {
        if (*name == ' ' || *name == '#')
            sb_puts(out, "\\");
        if (*name == '$')
            sb_puts(out, "$");
        sb_putn(out, name, 1);
    }
}

static void
put_needed(StrBuf *out, const char *path)
{
    sb_puts(out, " \\\n  ");
    put_name(out, path);
}

static bool
is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

void
product_depfile(StrBuf *out, const Job *job, const char *product)
{
    const char *model = job->o->model;
    put_name(out, product);
    sb_puts(out, ":");
    put_needed(out, is_folder(model) ? arena_printf(job->arena, "%s/config.json", model) : model);
    for (int i = 0; i < job->fe.nblock_files; i++)
        put_needed(out, job->fe.block_files[i]);
    for (int i = 0; job->weights && rt_weights_file(job->weights, i); i++) /* else by rules */
        put_needed(out, rt_weights_file(job->weights, i));
    if (job->fe.graph->tokenizer_path)
        put_needed(out, job->fe.graph->tokenizer_path);
    sb_puts(out, "\n");
}
