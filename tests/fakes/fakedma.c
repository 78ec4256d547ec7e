/* dma-buf for programs on kernels that have neither udmabuf nor a dma-heap: LD_PRELOAD this.

   /dev/dma_heap/linux,cma and /dev/udmabuf can be opened, and what they allocate is a memfd: memory that can be mapped, passed
   on and shared, which is all that libcamera's virtual cameras and picamera2 do with it. Everything else is passed through. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_allocator(const char *path) {
    return path && (!strcmp(path, "/dev/udmabuf") || !strcmp(path, "/dev/dma_heap/linux,cma"));
}

#define INTERPOSE_OPEN(name)                                                                                           \
    int name(const char *path, int flags, ...) {                                                                       \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                         \
            va_list rest;                                                                                              \
            va_start(rest, flags);                                                                                     \
            mode = va_arg(rest, mode_t);                                                                               \
            va_end(rest);                                                                                              \
        }                                                                                                              \
        if (is_allocator(path))                                                                                        \
            return memfd_create("allocator", MFD_CLOEXEC);                                                             \
        return ((int (*)(const char *, int, mode_t))dlsym(RTLD_NEXT, #name))(path, flags, mode);                       \
    }
INTERPOSE_OPEN(open)
INTERPOSE_OPEN(open64)

static int allocate(struct dma_heap_allocation_data *wanted) {
    int fd = memfd_create("dma-buf", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, wanted->len)) {
        close(fd);
        return -1;
    }
    wanted->fd = fd;
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request == DMA_HEAP_IOCTL_ALLOC)
        return allocate(argument);
    if (request == UDMABUF_CREATE)
        return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 0);
    int result = ((int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl"))(fd, request, argument);
    /* Ordinary memory is always in step with the processor's caches, and its name is nobody's business. */
    int of_a_buffer = request == DMA_BUF_IOCTL_SYNC || request == DMA_BUF_SET_NAME_A || request == DMA_BUF_SET_NAME_B;
    return result < 0 && of_a_buffer ? 0 : result;
}
