/* runtime/device.h -- where a program's steps run and its numbers lie: a table of functions for
 * each device of ABI_DEVICES. Nothing else knows how to reach a device's memory: an address "there"
 * is handed to these functions and to kernels, and is not read or written by anyone else, unless
 * the memory of the device is the host's.
 *
 * A function that can fail says why (rt_fail). A device that is lost stays so: every call that
 * needs it is SSMC_LOST from then on, and those that free give back what is the host's. */
#ifndef SSMC_RUNTIME_DEVICE_H
#define SSMC_RUNTIME_DEVICE_H

#include "runtime/internal.h"

struct RtDevice {
    /* The device has memory of its own. If not, all memory is the host's, `image` and `queue` are
     * NULL, an address there is a pointer, and nothing is copied that is there already. */
    bool apart;
    /* Rows of a pass of single tokens from which on it is run as two halves, side by side
     * (RtRun.beside): what waits in one half leaves the device to the other. 0: none is. */
    int halves;

    /* A program's code, ready to be launched; it borrows the program. */
    ssmc_status (*open)(const AbiProgram *abi, RtImage **out);
    void (*close)(RtImage *image);
    const char *(*name)(const RtImage *image); /* of the device, which lives as long as the image */
    /* Memory there, of zeros. */
    ssmc_status (*alloc)(RtImage *image, size_t bytes, const char *of_what, char **out);
    void (*free)(RtImage *image, char *there, size_t bytes);
    /* Memory of the host, of zeros, that is copied there and back fast. */
    ssmc_status (*lock)(RtImage *image, size_t bytes, const char *of_what, char **out);
    void (*unlock)(RtImage *image, char *here, size_t bytes);

    /* What is done there for one session, one thing after the other. */
    ssmc_status (*begin)(RtImage *image, RtQueue **out);
    void (*end)(RtQueue *queue);
    /* Whether it can go on: in this process, and on a device that is not lost. */
    ssmc_status (*check)(const RtQueue *queue);
    /* When put and get return, the bytes here are free to be changed, or read. */
    ssmc_status (*put)(RtQueue *queue, char *there, const void *here, size_t bytes);
    ssmc_status (*get)(RtQueue *queue, void *here, const char *there, size_t bytes);
    ssmc_status (*copy)(RtQueue *queue, char *to, const char *from, size_t bytes);
    ssmc_status (*zero)(RtQueue *queue, char *there, size_t bytes);

    /* Addresses for what grows: one range for a queue. grow: from now on there is memory behind
     * these bytes of it, which is zeros where there was none. shrink: they are zeros again, and
     * memory may go. */
    ssmc_status (*reserve)(RtQueue *queue, size_t bytes, char **out);
    ssmc_status (*grow)(RtQueue *queue, const char *from, size_t bytes);
    ssmc_status (*shrink)(RtQueue *queue, char *from, size_t bytes);
    void (*release)(RtQueue *queue, char *range, size_t bytes);

    /* Copies run->told and run->fed, runs the steps, copies run->back; returns when all is done. */
    ssmc_status (*run)(RtQueue *queue, RtRun *run);
    /* As run, but returns when all has begun: slot 0 or 1, until finish says that it is done. What
     * is told of a pass in one slot, and comes back, has a place of its own here. NULL: there is
     * nothing between a pass and the next. */
    ssmc_status (*start)(RtQueue *queue, RtRun *run, int slot);
    ssmc_status (*finish)(RtQueue *queue, int slot);
};

const RtDevice *rt_device(AbiDevice id);
extern const RtDevice rt_device_cpu, rt_device_cuda;

#endif
