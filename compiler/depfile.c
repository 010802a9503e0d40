/* compiler/depfile.c -- which files a product was made of, as a rule that make and Ninja read: a
 * build makes the product again when one of them is newer. */
#include <string.h>
#include <sys/stat.h>

#include "compiler/product.h"

/* A name in such a rule, with what parts names there escaped. A backslash stands for itself, but
 * before what it would escape, the end of the name among it. False: the name has a line's end,
 * which no rule can hold. */
static bool
put_name(StrBuf *out, const char *name)
{
    if (strpbrk(name, "\n\r"))
        return false;
    while (*name) {
        const size_t backslashes = strspn(name, "\\");
        const char next = name[backslashes];
        const bool parts = next == '\0' || strchr(" \t#:", next);
        for (size_t i = 0; i < backslashes; i++)
            sb_puts(out, parts ? "\\\\" : "\\");
        if (next == '\0')
            break;
        sb_printf(out, "%s%c", parts ? "\\" : next == '$' ? "$" : "", next);
        name += backslashes + 1;
    }
    return true;
}

static bool
put_needed(StrBuf *out, const char *path)
{
    sb_puts(out, " \\\n  ");
    return put_name(out, path);
}

bool
product_depfile(StrBuf *out, const Job *job, const char *product)
{
    const char *model = job->settings.model;
    bool ok = put_name(out, product);
    sb_puts(out, ":");
    struct stat st;
    const bool folder = stat(model, &st) == 0 && S_ISDIR(st.st_mode);
    ok = ok && put_needed(out, folder ? fe_config_path(job->arena, model) : model);
    for (int i = 0; i < job->fe.nblock_files; i++)
        ok = ok && put_needed(out, job->fe.block_files[i]);
    for (int i = 0; job->weights && rt_weights_file(job->weights, i); i++) /* else by rules */
        ok = ok && put_needed(out, rt_weights_file(job->weights, i));
    if (job->fe.graph->tokenizer_path)
        ok = ok && put_needed(out, job->fe.graph->tokenizer_path);
    sb_puts(out, "\n");
    return ok;
}
