/* runtime/device_cpu.c -- the CPU as a device: its memory is the host's, so an address there is a
 * pointer, and steps run over the session's thread pool (exec.c). */
#include <string.h>

#include "runtime/device.h"

static const RtDevice *const devices[ABI_DEVICE_COUNT] = {
    [ABI_CPU] = &rt_device_cpu,
    [ABI_CUDA] = &rt_device_cuda,
};

const RtDevice *
rt_device(AbiDevice id)
{
    return devices[id];
}

static ssmc_status
cpu_open(const AbiProgram *abi, RtImage **out)
{
    (void)abi;
    *out = NULL;
    return SSMC_OK;
}

static void
cpu_close(RtImage *image)
{
    (void)image;
}

static const char *
cpu_name(const RtImage *image)
{
    (void)image;
    return "CPU";
}

static ssmc_status
cpu_alloc(RtImage *image, size_t bytes, const char *of_what, char **out)
{
    (void)image;
    *out = rt_pages_new(bytes);
    return *out ? SSMC_OK : rt_fail_memory(bytes, of_what);
}

static void
cpu_free(RtImage *image, char *there, size_t bytes)
{
    (void)image;
    rt_pages_free(there, bytes);
}

static ssmc_status
cpu_begin(RtImage *image, RtQueue **out)
{
    (void)image;
    *out = NULL;
    return SSMC_OK;
}

static void
cpu_end(RtQueue *queue)
{
    (void)queue;
}

static ssmc_status
cpu_check(const RtQueue *queue)
{
    (void)queue;
    return SSMC_OK;
}

static ssmc_status
cpu_put(RtQueue *queue, char *there, const void *here, size_t bytes)
{
    (void)queue;
    memcpy(there, here, bytes);
    return SSMC_OK;
}

static ssmc_status
cpu_get(RtQueue *queue, void *here, const char *there, size_t bytes)
{
    (void)queue;
    memcpy(here, there, bytes);
    return SSMC_OK;
}

static ssmc_status
cpu_copy(RtQueue *queue, char *to, const char *from, size_t bytes)
{
    (void)queue;
    memcpy(to, from, bytes);
    return SSMC_OK;
}

static ssmc_status
cpu_zero(RtQueue *queue, char *there, size_t bytes)
{
    (void)queue;
    memset(there, 0, bytes);
    return SSMC_OK;
}

static ssmc_status
cpu_reserve(RtQueue *queue, size_t bytes, char **out)
{
    (void)queue;
    *out = rt_pages_reserve(bytes);
    return *out ? SSMC_OK : rt_fail_memory(bytes, "addresses");
}

/* Pages come as they are written. */
static ssmc_status
cpu_grow(RtQueue *queue, const char *from, size_t bytes)
{
    (void)queue;
    (void)from;
    (void)bytes;
    return SSMC_OK;
}

static ssmc_status
cpu_shrink(RtQueue *queue, char *from, size_t bytes)
{
    (void)queue;
    rt_pages_zero(from, bytes);
    return SSMC_OK;
}

static void
cpu_release(RtQueue *queue, char *range, size_t bytes)
{
    (void)queue;
    rt_pages_free(range, bytes);
}

static ssmc_status
cpu_run(RtQueue *queue, RtRun *run)
{
    (void)queue;
    rt_run(run);
    return SSMC_OK;
}

const RtDevice rt_device_cpu = {
    .apart = false,
    .open = cpu_open,
    .close = cpu_close,
    .name = cpu_name,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .lock = cpu_alloc,
    .unlock = cpu_free,
    .begin = cpu_begin,
    .end = cpu_end,
    .check = cpu_check,
    .put = cpu_put,
    .get = cpu_get,
    .copy = cpu_copy,
    .zero = cpu_zero,
    .reserve = cpu_reserve,
    .grow = cpu_grow,
    .shrink = cpu_shrink,
    .release = cpu_release,
    .run = cpu_run,
};
