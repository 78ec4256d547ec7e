/* A V4L2 capture device in user space, for LD_PRELOAD: YUYV and, given JPEG files, MJPEG; streaming by mmap.
 *
 *   gcc -shared -fPIC -O2 -o fakev4l2.so fakev4l2.c -ldl
 *
 * FAKE_V4L2=/path/video0      opening this path gives a camera. The first word in that file is its state, read again
 *                             at every open, ioctl and frame; deleting the file unplugs the camera.
 *     ok          pictures at the negotiated rate: a grey ramp with a white bar that moves
 *     hang        VIDIOC_DQBUF never returns            hang-open  open() never returns
 *     eio         VIDIOC_DQBUF fails with EIO           enodev     VIDIOC_DQBUF fails with ENODEV
 *     busy        open() fails with EBUSY               streaming  VIDIOC_S_FMT fails with EBUSY: somebody streams
 *     denied      open() fails with EACCES              corrupt    MJPEG pictures are cut off and scrambled
 * FAKE_V4L2_JPEGS=/directory  with WIDTHxHEIGHT-0.jpg, -1.jpg ...: offers MJPEG in those sizes, shown in turn
 * FAKE_V4L2_USB2=1            YUYV is slow above 640x480, as on a real USB 2 camera: 10 and 5 fps
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 1024
#define MAX_BUFFERS 32
#define BUFFER_SHIFT 24 /* buffer index in the offset given to mmap */

struct device {
    int open, width, height, fps, buffers, streaming, sequence;
    uint32_t pixelformat;
    size_t buffer_size;
    void *memory[MAX_BUFFERS];
    unsigned queue[MAX_BUFFERS], head, tail; /* indices of queued buffers */
    struct timespec next;
};

static struct device devices[MAX_FDS];
static const struct { int width, height; } sizes[] = {{320, 240}, {640, 480}, {1280, 720}, {1920, 1080}};
#define SIZES ((int)(sizeof sizes / sizeof *sizes))

#define REAL(result, name, ...) ((result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static int fail(int error) { errno = error; return -1; }

static struct device *device_of(int fd) {
    return fd >= 0 && fd < MAX_FDS && devices[fd].open ? &devices[fd] : NULL;
}

static int is_device(const char *path) {
    const char *fake = getenv("FAKE_V4L2");
    return fake && path && !strcmp(path, fake);
}

/* The state's word; -1 when the device is unplugged. */
static int read_state(char word[16]) {
    FILE *file = fopen(getenv("FAKE_V4L2"), "re");
    if (!file) return -1;
    if (fscanf(file, "%15s", word) != 1) strcpy(word, "ok");
    fclose(file);
    return 0;
}

static int state_is(const char *wanted) {
    char word[16];
    return read_state(word) == 0 && !strcmp(word, wanted);
}

static int open_device(int fd) {
    if (fd >= 0 && fd < MAX_FDS) {
        memset(&devices[fd], 0, sizeof devices[fd]);
        devices[fd] = (struct device){.open = 1, .width = 640, .height = 480, .fps = 30,
                                      .pixelformat = V4L2_PIX_FMT_YUYV};
    }
    return fd;
}

static int refuse_open(void) {
    while (state_is("hang-open")) usleep(20000);
    if (state_is("busy")) return fail(EBUSY);
    if (state_is("denied")) return fail(EACCES);
    return 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list arguments; va_start(arguments, flags); mode = va_arg(arguments, mode_t); va_end(arguments); \
        } \
        if (is_device(path) && refuse_open()) return -1; \
        int fd = REAL(int, name, const char *, int, mode_t)(path, flags, mode); \
        return is_device(path) ? open_device(fd) : fd; \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    struct device *device = device_of(fd);
    if (device) device->open = 0;
    return REAL(int, close, int)(fd);
}

#define MMAP(name, offset_type) \
    void *name(void *address, size_t length, int protection, int flags, int fd, offset_type offset) { \
        struct device *device = device_of(fd); \
        if (device) return device->memory[(offset >> BUFFER_SHIFT) % MAX_BUFFERS]; \
        return REAL(void *, name, void *, size_t, int, int, int, offset_type)( \
            address, length, protection, flags, fd, offset); \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

static int jpeg_path(char *path, size_t size, int width, int height, int number) {
    const char *directory = getenv("FAKE_V4L2_JPEGS");
    if (!directory) return 0;
    snprintf(path, size, "%s/%dx%d-%d.jpg", directory, width, height, number);
    return access(path, R_OK) == 0;
}

static int has_jpegs(int width, int height) {
    char path[512];
    return jpeg_path(path, sizeof path, width, height, 0);
}

static int any_jpegs(void) {
    for (int i = 0; i < SIZES; i++) if (has_jpegs(sizes[i].width, sizes[i].height)) return 1;
    return 0;
}

static int max_fps(uint32_t pixelformat, int width) {
    if (pixelformat != V4L2_PIX_FMT_YUYV || !getenv("FAKE_V4L2_USB2")) return 30;
    return width <= 640 ? 30 : width <= 1280 ? 10 : 5;
}

static uint32_t draw_yuyv(struct device *d, unsigned char *out) {
    int bar = d->sequence * 4 % d->width;
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < d->width; x += 2, out += 4) {
            int inside = x >= bar && x < bar + 32;
            out[0] = out[2] = inside ? 235 : x * 219 / d->width + 16;
            out[1] = inside ? 128 : y * 255 / d->height;
            out[3] = 128;
        }
    return d->width * d->height * 2;
}

static uint32_t read_jpeg(struct device *d, unsigned char *out) {
    char path[512];
    int count = 0;
    while (jpeg_path(path, sizeof path, d->width, d->height, count)) count++;
    if (!count) return 0;
    jpeg_path(path, sizeof path, d->width, d->height, d->sequence % count);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    size_t size = fread(out, 1, d->buffer_size, file);
    fclose(file);
    if (state_is("corrupt")) {
        size /= 3;
        for (size_t i = 0; i < size; i += 7) out[i] ^= 0x5a;
    }
    return size;
}

static int dequeue(struct device *d, struct v4l2_buffer *buffer) {
    char word[16];
    for (;;) {
        if (read_state(word) || !strcmp(word, "enodev")) return fail(ENODEV);
        if (!strcmp(word, "eio")) return fail(EIO);
        if (strcmp(word, "hang") && d->head != d->tail) break;
        usleep(20000);
    }
    struct timespec now;
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &d->next, 0);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - d->next.tv_sec > 1) d->next = now;
    d->next.tv_nsec += 1000000000L / d->fps;
    if (d->next.tv_nsec >= 1000000000L) { d->next.tv_nsec -= 1000000000L; d->next.tv_sec++; }
    unsigned index = d->queue[d->head++ % MAX_BUFFERS];
    uint32_t used = d->pixelformat == V4L2_PIX_FMT_YUYV ? draw_yuyv(d, d->memory[index])
                                                        : read_jpeg(d, d->memory[index]);
    buffer->index = index;
    buffer->bytesused = used;
    buffer->length = d->buffer_size;
    buffer->memory = V4L2_MEMORY_MMAP;
    buffer->field = V4L2_FIELD_NONE;
    buffer->sequence = d->sequence++;
    buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = now.tv_sec;
    buffer->timestamp.tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int query_capability(struct v4l2_capability *c) {
    memset(c, 0, sizeof *c);
    strcpy((char *)c->driver, "fakev4l2");
    strcpy((char *)c->card, "Fake Camera");
    strcpy((char *)c->bus_info, "platform:fake");
    c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int enumerate_input(struct v4l2_input *i) {
    if (i->index) return fail(EINVAL);
    memset(i, 0, sizeof *i);
    strcpy((char *)i->name, "Camera");
    i->type = V4L2_INPUT_TYPE_CAMERA;
    return 0;
}

static int enumerate_format(struct v4l2_fmtdesc *f) {
    if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || f->index > (unsigned)any_jpegs()) return fail(EINVAL);
    f->flags = f->index ? V4L2_FMT_FLAG_COMPRESSED : 0;
    strcpy((char *)f->description, f->index ? "Motion-JPEG" : "YUYV 4:2:2");
    f->pixelformat = f->index ? V4L2_PIX_FMT_MJPEG : V4L2_PIX_FMT_YUYV;
    return 0;
}

static int enumerate_size(struct v4l2_frmsizeenum *f) {
    int left = f->index;
    for (int i = 0; i < SIZES; i++) {
        if (f->pixel_format == V4L2_PIX_FMT_MJPEG && !has_jpegs(sizes[i].width, sizes[i].height)) continue;
        if (left-- > 0) continue;
        f->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        f->discrete.width = sizes[i].width;
        f->discrete.height = sizes[i].height;
        return 0;
    }
    return fail(EINVAL);
}

static int enumerate_interval(struct v4l2_frmivalenum *f) {
    static const int rates[] = {30, 15, 10, 5};
    int left = f->index;
    for (int i = 0; i < 4; i++) {
        if (rates[i] > max_fps(f->pixel_format, f->width) || left-- > 0) continue;
        f->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        f->discrete.numerator = 1;
        f->discrete.denominator = rates[i];
        return 0;
    }
    return fail(EINVAL);
}

static int format(struct device *d, struct v4l2_format *f, unsigned long request) {
    struct v4l2_pix_format *p = &f->fmt.pix;
    if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return fail(EINVAL);
    int width = d->width, height = d->height;
    uint32_t pixelformat = d->pixelformat;
    if (request != VIDIOC_G_FMT) {
        pixelformat = p->pixelformat == V4L2_PIX_FMT_MJPEG && any_jpegs() ? V4L2_PIX_FMT_MJPEG : V4L2_PIX_FMT_YUYV;
        int nearest = 0;
        for (int i = 0; i < SIZES; i++) if ((int)p->width >= sizes[i].width) nearest = i;
        width = sizes[nearest].width;
        height = sizes[nearest].height;
    }
    if (request == VIDIOC_S_FMT) {
        if (d->streaming || state_is("streaming")) return fail(EBUSY);
        d->width = width;
        d->height = height;
        d->pixelformat = pixelformat;
    }
    memset(p, 0, sizeof *p);
    p->width = width;
    p->height = height;
    p->pixelformat = pixelformat;
    p->field = V4L2_FIELD_NONE;
    p->bytesperline = pixelformat == V4L2_PIX_FMT_YUYV ? width * 2 : 0;
    p->sizeimage = width * height * 2;
    p->colorspace = V4L2_COLORSPACE_SRGB;
    return 0;
}

static int stream_parameters(struct device *d, struct v4l2_streamparm *s, unsigned long request) {
    struct v4l2_captureparm *c = &s->parm.capture;
    int limit = max_fps(d->pixelformat, d->width);
    if (request == VIDIOC_S_PARM && c->timeperframe.numerator)
        d->fps = c->timeperframe.denominator / c->timeperframe.numerator;
    if (d->fps < 1) d->fps = 1;
    if (d->fps > limit) d->fps = limit;
    c->capability = V4L2_CAP_TIMEPERFRAME;
    c->timeperframe.numerator = 1;
    c->timeperframe.denominator = d->fps;
    return 0;
}

static int request_buffers(struct device *d, struct v4l2_requestbuffers *r) {
    if (r->memory != V4L2_MEMORY_MMAP) return fail(EINVAL);
    if (r->count > MAX_BUFFERS) r->count = MAX_BUFFERS;
    d->buffer_size = d->width * d->height * 2;
    for (unsigned i = 0; i < r->count; i++)
        d->memory[i] = REAL(void *, mmap, void *, size_t, int, int, int, off_t)(
            0, d->buffer_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    d->buffers = r->count;
    d->head = d->tail = 0;
    return 0;
}

static int query_buffer(struct device *d, struct v4l2_buffer *b) {
    if ((int)b->index >= d->buffers) return fail(EINVAL);
    b->length = d->buffer_size;
    b->m.offset = b->index << BUFFER_SHIFT;
    b->flags = 0;
    return 0;
}

static int stream(struct device *d, int on) {
    d->streaming = on;
    if (on) clock_gettime(CLOCK_MONOTONIC, &d->next);
    else d->head = d->tail = 0;
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    struct device *d = device_of(fd);
    if (!d) return REAL(int, ioctl, int, unsigned long, void *)(fd, request, argument);
    char word[16];
    if (read_state(word)) return fail(ENODEV);
    request &= 0xffffffffUL; /* callers that keep it in an int sign-extend it */
    switch (request) {
    case VIDIOC_QUERYCAP: return query_capability(argument);
    case VIDIOC_ENUMINPUT: return enumerate_input(argument);
    case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_S_INPUT: return *(int *)argument ? fail(EINVAL) : 0;
    case VIDIOC_ENUM_FMT: return enumerate_format(argument);
    case VIDIOC_ENUM_FRAMESIZES: return enumerate_size(argument);
    case VIDIOC_ENUM_FRAMEINTERVALS: return enumerate_interval(argument);
    case VIDIOC_TRY_FMT: case VIDIOC_S_FMT: case VIDIOC_G_FMT: return format(d, argument, request);
    case VIDIOC_S_PARM: case VIDIOC_G_PARM: return stream_parameters(d, argument, request);
    case VIDIOC_REQBUFS: return request_buffers(d, argument);
    case VIDIOC_QUERYBUF: return query_buffer(d, argument);
    case VIDIOC_QBUF: {
        struct v4l2_buffer *b = argument;
        if ((int)b->index >= d->buffers) return fail(EINVAL);
        d->queue[d->tail++ % MAX_BUFFERS] = b->index;
        return 0;
    }
    case VIDIOC_DQBUF: return d->streaming ? dequeue(d, argument) : fail(EINVAL);
    case VIDIOC_STREAMON: return stream(d, 1);
    case VIDIOC_STREAMOFF: return stream(d, 0);
    }
    return fail(ENOTTY);
}
