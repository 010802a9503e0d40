/* driver/cmd_compile.c -- ssmc compile: any stage of the work, as text, or the product. */
#include <stdio.h>
#include <string.h>

#include "driver/driver.h"

typedef enum {
#define EMIT(id, kind, name) EMIT_##id,
#include "driver/emit.def"
#undef EMIT
    EMIT_COUNT
} Emit;
static const struct {
    enum { KIND_GRAPH, KIND_CODE, KIND_PRODUCT } kind;
    const char *name;
} emit_info[EMIT_COUNT] = {
#define EMIT(id, kind, name) [EMIT_##id] = {KIND_##kind, name},
#include "driver/emit.def"
#undef EMIT
};

static int
put(const Options *o, const StrBuf *text)
{
    const char *path = opt_text(o, OPT_out), *why = NULL;
    if (!path) {
        const bool ok = fwrite(sb_text(text), 1, text->len, stdout) == text->len;
        return ok && fflush(stdout) == 0 ? EXIT_DONE
                                         : fault(EXIT_FAILED, "cannot write to standard output");
    }
    if (!file_write(o->arena, path, sb_text(text), text->len, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    return EXIT_DONE;
}

static int
emit_graph(Job *job, Emit what, EntryId entry, StrBuf *out)
{
    int *stop_after = &job->settings.passes.stop_after;
    const bool given = *stop_after >= 0;
    if (what == EMIT_graph && !given) {
        graph_print(out, job->fe.graph);
        return EXIT_DONE;
    }
    for (int i = 0; i < pipeline_count && what == EMIT_lowered && !given; i++)
        if (pass_info[pipeline[i]].after == STAGE_LOWERED)
            *stop_after = (int)pipeline[i]; /* the last that leaves it so */
    const int status = job_passes(job, entry);
    if (status == EXIT_DONE)
        graph_print(out, job->graph[entry]);
    return status;
}

static int
emit_code(Job *job, Emit what, StrBuf *out)
{
    static const CgEmit how[EMIT_COUNT] = {[EMIT_llvm] = CG_LLVM,
                                           [EMIT_llvm_opt] = CG_LLVM_OPT,
                                           [EMIT_asm] = CG_ASM,
                                           [EMIT_ptx] = CG_PTX};
    const int status = job_module(job);
    if (status == EXIT_DONE)
        cg_emit(job->module, how[what], out);
    return status;
}

/* Options that only products have. */
static int
check_options(const Options *o, Emit what)
{
    const bool library = what == EMIT_obj || what == EMIT_lib || what == EMIT_so;
    if (emit_info[what].kind == KIND_PRODUCT && !opt_text(o, OPT_out))
        return option_fault(o, OPT_out, "--emit %s wants a name: give -o FILE",
                            emit_info[what].name);
    if (emit_info[what].kind != KIND_GRAPH && opt_given(o, OPT_stop_after))
        return option_fault(o, OPT_stop_after, "--stop-after goes with --emit graph, not %s",
                            emit_info[what].name);
    if (opt_given(o, OPT_header) && !library)
        return option_fault(o, OPT_header, "--header goes with --emit so, lib or obj, not %s",
                            emit_info[what].name);
    if (opt_given(o, OPT_depfile) && emit_info[what].kind != KIND_PRODUCT)
        return option_fault(o, OPT_depfile,
                            "--depfile goes with --emit so, lib, exe or obj, not %s",
                            emit_info[what].name);
    if (opt_given(o, OPT_weights_how) && emit_info[what].kind != KIND_PRODUCT)
        return option_fault(o, OPT_weights_how,
                            "--weights goes with --emit so, lib, exe or obj, not %s",
                            emit_info[what].name);
    return EXIT_DONE;
}

static int
make_product(Job *job, const Options *o, Emit what)
{
    const ProductSettings product = {.kind = what == EMIT_lib   ? PRODUCT_lib
                                             : what == EMIT_so  ? PRODUCT_so
                                             : what == EMIT_exe ? PRODUCT_exe
                                                                : PRODUCT_obj,
                                     .embed = strcmp(opt_text(o, OPT_weights_how), "embed") == 0,
                                     .out = opt_text(o, OPT_out),
                                     .header = opt_text(o, OPT_header),
                                     .depfile = opt_text(o, OPT_depfile)};
    return job_product(job, &product);
}

static int
write_stage(Job *job, const Options *o, Emit what)
{
    StrBuf out = {0};
    int status = job_weights(job, false);
    if (status == EXIT_DONE)
        status = emit_info[what].kind == KIND_GRAPH
                     ? emit_graph(job, what, (EntryId)opt_word(o, OPT_entry), &out)
                     : emit_code(job, what, &out);
    if (status == EXIT_DONE)
        status = put(o, &out);
    sb_free(&out);
    return status;
}

int
cmd_compile(Options *o)
{
    const Emit what = (Emit)opt_word(o, OPT_emit);
    const int fit = check_options(o, what);
    if (fit != EXIT_DONE)
        return fit;
    Job job = {0};
    Settings settings;
    int status = settings_from(o, &settings);
    if (status == EXIT_DONE)
        status = model_describe_by(&job, o, &settings, emit_info[what].kind == KIND_PRODUCT);
    if (status == EXIT_DONE)
        status = emit_info[what].kind == KIND_PRODUCT ? make_product(&job, o, what)
                                                      : write_stage(&job, o, what);
    job_end(&job);
    return status;
}
