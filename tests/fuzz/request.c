/* tests/fuzz/request.c -- a body that is taken has values in range; one that is not says why. The
 * first byte says which endpoint reads it. */
#include "serve/request.h"
#include "tests/fuzz/fuzz.h"

static void
check_values(const Body *request)
{
    for (int key = 0; key < REQ_COUNT; key++) {
        const RequestKeyInfo *info = &request_key_info[key];
        const RequestValue *v = &request->value[key];
        const bool number = info->kind == RK_INT || info->kind == RK_NUM;
        if (v->json && number && !(v->num >= info->low && v->num <= info->high))
            die("%s is %g", info->name, v->num);
    }
    for (int i = 0; i < request->nstops; i++)
        if (request->stop_len[i] == 0 || request->stop_len[i] > REQUEST_STOP_BYTES)
            die("a stop of %zu bytes", request->stop_len[i]);
    for (int i = 0; i < request->nbias; i++)
        if (request->bias[i].id < 0)
            die("a bias of id %d", request->bias[i].id);
    if (request->top < -1 || request->top > 20)
        die("%d likeliest ids", request->top);
}

FUZZ_TARGET(request)
{
    static const Endpoint endpoints[] = {ENDPOINT_completions, ENDPOINT_chat,       ENDPOINT_llama,
                                         ENDPOINT_tokenize,    ENDPOINT_detokenize, ENDPOINT_infill,
                                         ENDPOINT_template};
    Body request;
    Fault fault = {0};
    if (size == 0)
        return 0;
    const Endpoint endpoint = endpoints[data[0] % COUNT_OF(endpoints)];
    if (request_read(&request, endpoint, (const char *)data + 1, size - 1, &fault))
        check_values(&request);
    else if (fault.status != 400 || fault.message.len == 0)
        die("refused without a word");
    request_free(&request);
    sb_free(&fault.message);
    return 0;
}
