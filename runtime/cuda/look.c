/* runtime/cuda/look.c -- what GPU there is. */
#include "runtime/cuda/row.h"

ssmc_status
cuda_look(const CudaDriver *cuda, CudaDevice *device, RtGpu *out)
{
    int major = 0, minor = 0, version = 0;
    *out = (RtGpu){0};
    CudaResult result = cuda->DeviceGet(device, 0);
    if (result == CUDA_OK)
        result = cuda->DeviceName(out->name, sizeof out->name, *device);
    if (result == CUDA_OK)
        result = cuda->DeviceMemory(&out->bytes, *device);
    if (result == CUDA_OK)
        result = cuda->DeviceAttribute(&out->multiprocessors, CUDA_MULTIPROCESSORS, *device);
    if (result == CUDA_OK)
        result = cuda->DeviceAttribute(&major, CUDA_CAPABILITY_MAJOR, *device);
    if (result == CUDA_OK)
        result = cuda->DeviceAttribute(&minor, CUDA_CAPABILITY_MINOR, *device);
    if (result == CUDA_OK)
        result = cuda->DriverVersion(&version);
    if (result != CUDA_OK)
        return cuda_fault(cuda, result, "looking at the GPU");
    out->capability = 10 * major + minor;
    out->driver = version / 1000 * 10 + version % 1000 / 10;
    return SSMC_OK;
}

bool
rt_gpu_look(RtGpu *out)
{
    const CudaDriver *cuda;
    CudaDevice device;
    return cuda_driver(&cuda) == SSMC_OK && cuda_look(cuda, &device, out) == SSMC_OK;
}
