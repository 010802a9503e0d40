/* runtime/cuda/driver.c -- CUDA's driver, opened the first time that a model or `ssmc info` asks
 * for it, and never closed: it keeps threads and mappings of its own. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include "runtime/cuda/driver.h"
#include "runtime/internal.h"

#define LIBRARY "libcuda.so.1"

static struct {
    pthread_mutex_t mutex;
    bool ready;
    CudaDriver driver;
} cuda = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Which function each symbol is; dlsym's result as one: ISO C has no conversion. */
static bool
find_all(void *handle, CudaDriver *driver, const char **lacks)
{
    union {
        void *address;
#define CUDA(id, symbol, arguments) CudaResult(*id) arguments;
#include "runtime/cuda/driver.def"
#undef CUDA
    } found;
#define CUDA(field, symbol, arguments)                                                             \
    found.address = dlsym(handle, #symbol);                                                        \
    if (!found.address) {                                                                          \
        *lacks = #symbol;                                                                          \
        return false;                                                                              \
    }                                                                                              \
    driver->field = found.field;
#define CUDA_MAYBE(field, symbol, arguments)                                                       \
    found.address = dlsym(handle, #symbol);                                                        \
    driver->field = found.address ? found.field : NULL;
#include "runtime/cuda/driver.def"
#undef CUDA
    return true;
}

ssmc_status
cuda_fault(const CudaDriver *driver, CudaResult result, const char *what)
{
    const char *text = NULL;
    ssmc_status status = SSMC_IO;
    switch (result) {
#define CUDA_ERROR(number, id, means)                                                              \
    case number:                                                                                   \
        status = SSMC_##means;                                                                     \
        break;
#include "runtime/cuda/errors.def"
#undef CUDA_ERROR
    default:
        break;
    }
    if (driver->ErrorText(result, &text) != CUDA_OK || !text)
        text = "an error that it has no text for";
    return rt_fail(status, "%s: %s (%d)", what, text, result);
}

static ssmc_status
start(const CudaDriver *driver)
{
    int count = 0;
    CudaResult result = driver->Init(0);
    if (result == CUDA_OK)
        result = driver->DeviceCount(&count);
    if (result == CUDA_NO_DEVICE || (result == CUDA_OK && count < 1))
        return rt_fail(SSMC_UNSUPPORTED,
                       "there is no GPU: CUDA's driver finds none (CUDA_VISIBLE_DEVICES says which "
                       "it looks for)");
    if (result == CUDA_OK)
        return SSMC_OK;
    cuda_fault(driver, result, "CUDA's driver does not start");
    return SSMC_UNSUPPORTED;
}

static ssmc_status
load(CudaDriver *driver)
{
    const char *path = getenv("SSMC_CUDA_LIBRARY"), *lacks = NULL;
    if (!path || !*path)
        path = LIBRARY;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return rt_fail(SSMC_UNSUPPORTED,
                       "there is no driver of a GPU: %s (NVIDIA's driver has " LIBRARY ")",
                       dlerror());
    if (!find_all(handle, driver, &lacks)) {
        dlclose(handle);
        return rt_fail(SSMC_UNSUPPORTED,
                       "the GPU's driver is too old: %s has no %s, which drivers of CUDA 11.4 and "
                       "later have",
                       path, lacks);
    }
    return start(driver);
}

ssmc_status
cuda_driver(const CudaDriver **out)
{
    ssmc_status status = SSMC_OK;
    pthread_mutex_lock(&cuda.mutex);
    if (!cuda.ready)
        status = load(&cuda.driver);
    cuda.ready = status == SSMC_OK;
    *out = cuda.ready ? &cuda.driver : NULL;
    pthread_mutex_unlock(&cuda.mutex);
    return status;
}
