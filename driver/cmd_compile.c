/* driver/cmd_compile.c -- ssmc compile: any stage of the work, as text, or the product. */
#include <stdio.h>
#include <string.h>

#include "driver/product.h"

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

/* The last pass after which the graph is still LOWERED: what --emit lowered shows. */
static const char *
last_lowered_pass(void)
{
    const char *name = NULL;
    for (int i = 0; i < pipeline_count; i++)
        if (pass_info[pipeline[i]].after == STAGE_LOWERED)
            name = pass_info[pipeline[i]].name;
    return name;
}

static int
emit_graph(Job *job, Emit what, Phase phase, StrBuf *out)
{
    OptValue *stop = &job->o->value[OPT_stop_after];
    if (what == EMIT_graph && !stop->given) {
        graph_print(out, job->fe.graph);
        return EXIT_DONE;
    }
    if (what == EMIT_lowered && !stop->given)
        *stop = (OptValue){.given = true, .text = last_lowered_pass()};
    const int status = job_passes(job, phase);
    if (status == EXIT_DONE)
        graph_print(out, job->graph[phase]);
    return status;
}

static int
emit_code(Job *job, Emit what, StrBuf *out)
{
    static const CgEmit how[EMIT_COUNT] = {
        [EMIT_llvm] = CG_LLVM, [EMIT_llvm_opt] = CG_LLVM_OPT, [EMIT_asm] = CG_ASM};
    int status = job_passes(job, PHASE_PREFILL);
    if (status == EXIT_DONE)
        status = job_passes(job, PHASE_DECODE);
    if (status == EXIT_DONE)
        status = job_module(job);
    if (status == EXIT_DONE)
        cg_emit(job->module, how[what], out);
    return status;
}

static ProductKind
product_kind(Emit what)
{
    return what == EMIT_lib   ? PRODUCT_lib
           : what == EMIT_so  ? PRODUCT_so
           : what == EMIT_exe ? PRODUCT_exe
                              : PRODUCT_obj;
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
compile(Job *job, Emit what, Phase phase)
{
    if (emit_info[what].kind == KIND_PRODUCT)
        return make_product(job, product_kind(what));
    StrBuf out = {0};
    int status = job_check_passes(job);
    if (status == EXIT_DONE)
        status = job_weights(job, false);
    if (status == EXIT_DONE)
        status = emit_info[what].kind == KIND_GRAPH ? emit_graph(job, what, phase, &out)
                                                    : emit_code(job, what, &out);
    if (status == EXIT_DONE)
        status = put(job->o, &out);
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
    Job job;
    int status =
        emit_info[what].kind != KIND_PRODUCT ? job_describe(&job, o) : job_describe_many(&job, o);
    if (status == EXIT_DONE)
        status = compile(&job, what, (Phase)opt_word(o, OPT_phase));
    job_end(&job);
    return status;
}
