/* compiler/header.c -- the C header of a compiled library: the model's constants, and every
 * function there is, so that a program needs no other file of ours. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "compiler/product.h"

extern const char compiler_ssmc_h[]; /* runtime/ssmc.h, made by cmake/text.cmake */

/* Any text inside a comment: what would end it, open another or leave the line is taken apart. */
static const char *
comment(Arena *arena, const char *text)
{
    StrBuf safe = {0};
    for (const char *at = text; *at; at++) {
        const bool mark = strchr("*/", at[0]) && at > text && strchr("*/", at[-1]);
        sb_printf(&safe, "%s%c", mark ? " " : "", iscntrl((unsigned char)*at) ? '?' : *at);
    }
    const char *copy = arena_strdup(arena, sb_text(&safe));
    sb_free(&safe);
    return copy;
}

/* The variants differ in how they pack weights, cut work and in the tokens of a pass; states and
 * sizes are the model's. */
static void
put_constants(StrBuf *out, const char *prefix, const CgVariant *variants, int count,
              const CgExport *model)
{
    const AbiProgram *abi = cg_module_abi(variants[0].module);
    int64_t params = 0, block = 0, token = 0;
    for (int i = 0; i < abi->nstates; i++)
        token += abi->states[i].row_bytes;
    for (int i = 0; i < count; i++) {
        const AbiProgram *of = cg_module_abi(variants[i].module);
        params = of->param_bytes > params ? of->param_bytes : params;
        for (int e = 0; e < of->nentries; e++)
            block = of->entries[e].block > block ? of->entries[e].block : block;
    }
    sb_printf(out,
              "#define %s_VOCAB %" PRId64 " /* ids are 0 to that - 1; logits of a token */\n"
              "#define %s_EOS_COUNT %d /* how many ids end a text */\n"
              "#define %s_EOS {",
              prefix, abi_logits(abi)->width, prefix, model->neos, prefix);
    for (int i = 0; i < model->neos; i++)
        sb_printf(out, "%s%" PRId32, i ? ", " : "", model->eos[i]);
    sb_printf(out, "%s} /* these ids: const int32_t ids[] = %s_EOS; */\n", model->neos ? "" : "-1",
              prefix); /* an initialiser has at least one value */
    sb_printf(out, "#define %s_STATE_BYTES %" PRId64 " /* of one sequence */\n", prefix,
              abi->state_bytes);
    sb_printf(out,
              "#define %s_TOKEN_BYTES %" PRId64
              " /* that each token of a sequence adds to these; 0: none grow */\n",
              prefix, token);
    sb_printf(out, "#define %s_PACKED_BYTES %" PRId64 " /* packed weights, of any variant */\n",
              prefix, params);
    sb_printf(out,
              "#define %s_BLOCK %" PRId64
              " /* most tokens of a pass: longer prompts take no more memory */\n",
              prefix, block);
}

void
product_header(StrBuf *out, const CgExport *model, const CgVariant *variants, int count)
{
    Arena *arena = arena_new();
    const char *symbol = model->symbol;
    char *prefix = arena_strdup(arena, symbol);
    for (char *at = prefix; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    sb_printf(out, "/* The model '%s', compiled by ssmc %s for", comment(arena, model->name),
              SSMC_VERSION);
    for (int i = 0; i < count; i++)
        sb_printf(out, "%s %s", i ? "," : "", variants[i].cpu);
    sb_printf(
        out,
        ".\n *\n"
        " *     ssmc_model *model;\n"
        " *     if (ssmc_compiled_open(%s_compiled(), NULL, &model) != SSMC_OK)\n"
        " *         fprintf(stderr, \"%%s\\n\", ssmc_error());\n"
        " *\n"
        " * and then ssmc_session_open, ssmc_prefill, ssmc_step ...: what follows is ssmc.h, the\n"
        " * same for every model. Memory before anything is taken: ssmc_compiled_memory. */\n",
        symbol);
    sb_printf(out, "#ifndef SSMC_MODEL_%s_H\n#define SSMC_MODEL_%s_H\n\n%s\n", prefix, prefix,
              compiler_ssmc_h);
    put_constants(out, prefix, variants, count, model);
    sb_printf(out,
              "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n"
              "const ssmc_compiled *%s_compiled(void);\n"
              "#ifdef __cplusplus\n}\n#endif\n\n#endif\n",
              symbol);
    arena_free(arena);
}
