/* runtime/compiled.c -- models compiled ahead of time: which variant this machine runs, and the
 * model opened from it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"
#include "runtime/permit.h"

/* ---- variants ------------------------------------------------------------------------------ */

/* "x86-64-v3 x86-64-v4 ..." */
static RtText
variant_names(const AbiCompiled *compiled)
{
    RtText out = {""};
    size_t n = 0;
    for (int i = 0; i < compiled->nvariants && n < sizeof out.text; i++)
        n += (size_t)snprintf(out.text + n, sizeof out.text - n, "%s%s", i ? ", " : "",
                              compiled->variants[i].cpu);
    return out;
}

/* What each variant lacks here, a line each. */
static ssmc_status
none_runs(const AbiCompiled *compiled)
{
    rt_fail(SSMC_BAD_ARGUMENT,
            "model '%s' has no code that this machine can run:", rt_quote(compiled->name).text);
    for (int i = 0; i < compiled->nvariants; i++)
        rt_fail_also(SSMC_BAD_ARGUMENT, "its code for %s needs %s", compiled->variants[i].cpu,
                     rt_cpu_lacks(compiled->variants[i].needs));
    return SSMC_BAD_ARGUMENT;
}

static ssmc_status
choose_best(const AbiCompiled *compiled, const AbiVariant **out)
{
    for (int i = 0; i < compiled->nvariants; i++) {
        *out = &compiled->variants[i];
        if (!rt_cpu_lacks((*out)->needs))
            return SSMC_OK;
    }
    return none_runs(compiled);
}

static ssmc_status
choose_named(const AbiCompiled *compiled, const char *name, const AbiVariant **out)
{
    for (int i = 0; i < compiled->nvariants; i++) {
        *out = &compiled->variants[i];
        if (strcmp((*out)->cpu, name) != 0)
            continue;
        const char *lacks = rt_cpu_lacks((*out)->needs);
        if (!lacks)
            return SSMC_OK;
        return rt_fail(SSMC_BAD_ARGUMENT, "the code for %s cannot run here: this machine lacks %s",
                       name, lacks);
    }
    return rt_fail(SSMC_BAD_ARGUMENT, "model '%s' has no code for '%s'; it has %s",
                   rt_quote(compiled->name).text, rt_quote(name).text,
                   variant_names(compiled).text);
}

ssmc_status
rt_compiled_check(const AbiCompiled *compiled)
{
    if (!compiled)
        return rt_fail_null("compiled model");
    if (compiled->version == ABI_VERSION)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE,
                   "the model was compiled for version %d of the runtime; this is version %d",
                   compiled->version, ABI_VERSION);
}

/* NULL: the best that runs. */
static const char *
wanted(const char *name)
{
    if (!name)
        name = getenv("SSMC_VARIANT");
    return name && name[0] ? name : NULL;
}

ssmc_status
rt_variant_choose(const AbiCompiled *compiled, const char *name, const AbiVariant **out)
{
    const ssmc_status status = rt_compiled_check(compiled);
    *out = NULL;
    if (status != SSMC_OK)
        return status;
    name = wanted(name);
    return name ? choose_named(compiled, name, out) : choose_best(compiled, out);
}

const char *
rt_variant_note(const AbiCompiled *compiled, const char *name)
{
    const AbiVariant *chosen = NULL;
    if (wanted(name) || rt_variant_choose(compiled, NULL, &chosen) != SSMC_OK)
        return NULL;
    for (const AbiVariant *v = compiled->variants; v < chosen; v++)
        if ((v->needs & ~rt_cpu_features(v->needs)) == ABI_BIT(amxpermission))
            return "this process may not use AMX" ABI_REFUSED;
    return NULL;
}

/* ---- opening ------------------------------------------------------------------------------- */

ssmc_status
rt_model_embedded(const AbiCompiled *compiled, const AbiVariant *variant,
                  const ssmc_program *program, ssmc_model **out)
{
    const ssmc_status status = rt_model_new(program, out);
    if (status != SSMC_OK)
        return status;
    (*out)->params = variant->embedded;
    rt_identity_known((*out)->identity, compiled->identity);
    for (int i = 0; i < program->abi->nweights; i++)
        if (variant->tensor_offset[i] >= 0)
            (*out)->weights[i] = variant->embedded + variant->tensor_offset[i];
    const ssmc_status placed = rt_model_place(*out);
    if (placed != SSMC_OK) {
        ssmc_model_close(*out);
        *out = NULL;
    }
    return placed;
}

static ssmc_status
open_external(const AbiCompiled *compiled, const ssmc_opening *how, const ssmc_program *program,
              ssmc_model **out)
{
    const AbiLoader *loader = compiled->loader;
    ssmc_weights *weights = NULL;
    ssmc_status status = loader->open(compiled, program->abi, how->weights, &weights);
    if (status == SSMC_OK)
        status = loader->bind(program, weights, how->pack_cache, how->threads, how->progress,
                              how->user, out);
    if (status != SSMC_OK) {
        loader->close(weights);
        return status;
    }
    (*out)->own_weights = weights;
    (*out)->loader = loader;
    return SSMC_OK;
}

static ssmc_status
open_embedded(const AbiCompiled *compiled, const AbiVariant *variant, const ssmc_opening *how,
              const ssmc_program *program, ssmc_model **out)
{
    if (how->weights || how->pack_cache)
        return rt_fail(SSMC_BAD_ARGUMENT, "%s was given, but the model carries its packed weights",
                       how->weights ? "a file of weights" : "a cache of packed weights");
    return rt_model_embedded(compiled, variant, program, out);
}

ssmc_status
ssmc_compiled_open(const ssmc_compiled *compiled, const ssmc_opening *opening, ssmc_model **out)
{
    const ssmc_opening how = opening ? *opening : (ssmc_opening){0};
    const AbiVariant *variant = NULL;
    ssmc_program *program = NULL;
    if (!out)
        return rt_fail_null("place for the model");
    *out = NULL;
    ssmc_status status = rt_variant_choose(compiled, how.variant, &variant);
    if (status == SSMC_OK)
        status = rt_program_wrap(variant->program, &program);
    if (status != SSMC_OK)
        return status;
    status = variant->embedded ? open_embedded(compiled, variant, &how, program, out)
                               : open_external(compiled, &how, program, out);
    if (status == SSMC_OK)
        (*out)->own_program = program;
    else
        rt_program_free(program);
    return status;
}

/* ---- what there is to know before ---------------------------------------------------------- */

ssmc_status
ssmc_compiled_memory(const ssmc_compiled *compiled, const char *variant, int sequences, int threads,
                     ssmc_memory *out)
{
    const AbiVariant *chosen = NULL;
    ssmc_program *program = NULL;
    if (!out)
        return rt_fail_null("place for the memory");
    ssmc_status status = rt_variant_choose(compiled, variant, &chosen);
    if (status == SSMC_OK)
        status = rt_program_wrap(chosen->program, &program);
    if (status != SSMC_OK)
        return status;
    *out = ssmc_program_memory(program, sequences, threads);
    rt_program_free(program);
    return SSMC_OK;
}

const char *
ssmc_compiled_tokenizer(const ssmc_compiled *compiled, size_t *bytes)
{
    const bool known = rt_compiled_check(compiled) == SSMC_OK;
    if (bytes)
        *bytes = known ? (size_t)compiled->tokenizer_bytes : 0;
    return known ? compiled->tokenizer : NULL;
}

const int32_t *
ssmc_compiled_eos(const ssmc_compiled *compiled, size_t *count)
{
    const bool known = rt_compiled_check(compiled) == SSMC_OK;
    if (count)
        *count = known ? (size_t)compiled->neos : 0;
    return known ? compiled->eos : NULL;
}
