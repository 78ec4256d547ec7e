/* A V4L2 capture device in user space, for LD_PRELOAD: YUYV and, given JPEG files, MJPEG; streaming by mmap.
 *
 *   gcc -shared -fPIC -O2 -o fakev4l2.so fakev4l2.c -ldl
 *
 * FAKE_V4L2=/path/video0      opening this path gives a camera. The first word in that file is its state, read again
 *                             at every open, ioctl and frame; deleting the file unplugs the camera.
 *     ok          pictures at the negotiated rate: a grey ramp with a white bar that moves
 *     dark        a third of that rate, as when a camera exposes longer by itself
 *     frozen      YUYV: the same picture again and again   sticks  the same, until it is opened anew
 *     black       YUYV: a covered lens, with noise      grey       YUYV: one grey, as of a grabber without a signal
 *     hang        VIDIOC_DQBUF never returns            hang-open  open() never returns
 *     eio         VIDIOC_DQBUF fails with EIO           enodev     VIDIOC_DQBUF fails with ENODEV
 *     busy        open() fails with EBUSY               streaming  VIDIOC_S_FMT fails with EBUSY: somebody streams
 *     slow        2 fps, as when a link or a hub has too much to carry
 *     denied      open() fails with EACCES              corrupt    MJPEG pictures are cut off and scrambled
 * FAKE_V4L2_JPEGS=/directory  with WIDTHxHEIGHT-0.jpg, -1.jpg ...: offers MJPEG in those sizes, shown in turn
 * FAKE_V4L2_NV12=1            offers NV12 too
 * FAKE_V4L2_H264=/directory   with 0.h264, 1.h264 ...: offers H.264 in 1280x720 and nothing but that, these units in turn; after
 *                             FORCE_KEY_FRAME the turn begins anew. FAKE_V4L2_H264_DEAF=1: it has no such control
 * FAKE_V4L2_LOG=/path/log     gets a line for every control that is set: "ID VALUE", hexadecimal and decimal
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_FDS 1024
#define MAX_BUFFERS 32
#define BUFFER_SHIFT 24 /* buffer index in the offset given to mmap */

struct device {
    int open, width, height, fps, buffers, streaming, sequence;
    int bar, moved; /* where the bar is; whether it has ever moved */
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

/* A device node, not the plain file that it is: who maps a file is held to its length. */
#define FSTAT(name, type) \
    int name(int fd, struct type *status) { \
        int done = REAL(int, name, int, struct type *)(fd, status); \
        if (!done && device_of(fd)) status->st_mode = S_IFCHR | 0660; \
        return done; \
    }
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

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

static int noise(int most) { return rand() % (most + 1); }

static uint32_t draw_black(struct device *d, unsigned char *out) {
    for (int i = 0; i < d->width * d->height; i += 2, out += 4) {
        out[0] = 16 + noise(6);
        out[2] = 16 + noise(6);
        out[1] = out[3] = 128;
    }
    return d->width * d->height * 2;
}

/* --- controls: the camera's, whoever has it open --- */

enum { BRIGHTNESS, WHITE_BALANCE, EXPOSURE_AUTO, EXPOSURE, FORCE_KEY, BITRATE, CONTROLS };
static const struct { uint32_t id, type; const char *name; int low, high, standard; } controls[CONTROLS] = {
    {V4L2_CID_BRIGHTNESS, V4L2_CTRL_TYPE_INTEGER, "Brightness", -64, 64, 0},
    {V4L2_CID_AUTO_WHITE_BALANCE, V4L2_CTRL_TYPE_BOOLEAN, "White Balance, Automatic", 0, 1, 1},
    {V4L2_CID_EXPOSURE_AUTO, V4L2_CTRL_TYPE_MENU, "Auto Exposure", 0, 3, 3},
    {V4L2_CID_EXPOSURE_ABSOLUTE, V4L2_CTRL_TYPE_INTEGER, "Exposure Time, Absolute", 3, 2047, 250},
    {V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, V4L2_CTRL_TYPE_BUTTON, "Force Key Frame", 0, 0, 0},
    {V4L2_CID_MPEG_VIDEO_BITRATE, V4L2_CTRL_TYPE_INTEGER, "Video Bitrate", 25000, 25000000, 2000000},
};
static int values[CONTROLS] = {0, 1, 3, 250, 0, 2000000};
static int unit_number; /* of the next H.264 unit */

static int offered(int i) { return i < FORCE_KEY || (getenv("FAKE_V4L2_H264") && !getenv("FAKE_V4L2_H264_DEAF")); }

static int control_of(uint32_t id) {
    for (int i = 0; i < CONTROLS; i++) if (controls[i].id == id && offered(i)) return i;
    return -1;
}

static int query_control(struct v4l2_queryctrl *q) {
    int found = -1;
    if (!(q->id & V4L2_CTRL_FLAG_NEXT_CTRL)) found = control_of(q->id);
    else for (int i = 0; i < CONTROLS; i++)
        if (offered(i) && controls[i].id > (q->id & ~V4L2_CTRL_FLAG_NEXT_CTRL) && (found < 0 || controls[i].id < controls[found].id)) found = i;
    if (found < 0) return fail(EINVAL);
    memset(q, 0, sizeof *q);
    q->id = controls[found].id;
    q->type = controls[found].type;
    strcpy((char *)q->name, controls[found].name);
    q->minimum = controls[found].low;
    q->maximum = controls[found].high;
    q->step = 1;
    q->default_value = controls[found].standard;
    return 0;
}

static int query_menu(struct v4l2_querymenu *m) {
    static const char *entries[] = {NULL, "Manual Mode", NULL, "Aperture Priority Mode"};
    if (m->id != V4L2_CID_EXPOSURE_AUTO || m->index > 3 || !entries[m->index]) return fail(EINVAL);
    strcpy((char *)m->name, entries[m->index]);
    return 0;
}

static int use_control(struct v4l2_control *c, int set) {
    int i = control_of(c->id);
    if (i < 0) return fail(EINVAL);
    if (!set) { c->value = values[i]; return 0; }
    if (controls[i].type != V4L2_CTRL_TYPE_BUTTON && (c->value < controls[i].low || c->value > controls[i].high)) return fail(ERANGE);
    values[i] = c->value;
    if (i == FORCE_KEY) unit_number = 0;
    const char *log = getenv("FAKE_V4L2_LOG");
    FILE *file = log ? fopen(log, "ae") : NULL;
    if (file) { fprintf(file, "%08x %d\n", c->id, c->value); fclose(file); }
    return 0;
}

static uint32_t draw_nv12(struct device *d, unsigned char *out) {
    int bar = d->sequence * 4 % d->width;
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < d->width; x++) *out++ = x >= bar && x < bar + 32 ? 235 : x * 219 / d->width + 16;
    memset(out, 128, d->width * d->height / 2);
    return d->width * d->height * 3 / 2;
}

static uint32_t read_unit(struct device *d, unsigned char *out) {
    char path[512];
    snprintf(path, sizeof path, "%s/%d.h264", getenv("FAKE_V4L2_H264"), unit_number++);
    FILE *file = fopen(path, "re");
    if (!file && unit_number > 1) { unit_number = 0; return read_unit(d, out); }
    if (!file) return 0;
    size_t size = fread(out, 1, d->buffer_size, file);
    fclose(file);
    return size;
}

static uint32_t draw_yuyv(struct device *d, unsigned char *out, const char *state) {
    if (!strcmp(state, "black")) return draw_black(d, out);
    if (!strcmp(state, "grey")) { memset(out, 128, d->width * d->height * 2); return d->width * d->height * 2; }
    int sticks = !strcmp(state, "sticks") && d->moved;
    if (strcmp(state, "frozen") && !sticks) d->bar = d->sequence * 4 % d->width;
    d->moved |= !strcmp(state, "ok");
    int bar = d->bar;
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < d->width; x += 2, out += 4) {
            int inside = x >= bar && x < bar + 32;
            int luma = (inside ? 235 : x * 219 / d->width + 16) + values[BRIGHTNESS];
            out[0] = out[2] = luma < 16 ? 16 : luma > 235 ? 235 : luma;
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
    d->next.tv_nsec += 1000000000L / d->fps * (strcmp(word, "dark") ? strcmp(word, "slow") ? 1 : d->fps / 2 : 3);
    while (d->next.tv_nsec >= 1000000000L) { d->next.tv_nsec -= 1000000000L; d->next.tv_sec++; }
    unsigned index = d->queue[d->head++ % MAX_BUFFERS];
    uint32_t used = d->pixelformat == V4L2_PIX_FMT_YUYV ? draw_yuyv(d, d->memory[index], word)
                    : d->pixelformat == V4L2_PIX_FMT_NV12 ? draw_nv12(d, d->memory[index])
                    : d->pixelformat == V4L2_PIX_FMT_H264 ? read_unit(d, d->memory[index])
                                                          : read_jpeg(d, d->memory[index]);
    clock_gettime(CLOCK_MONOTONIC, &now); /* drawing is the exposure */
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

static int has_format(uint32_t pixelformat) {
    switch (pixelformat) {
    case V4L2_PIX_FMT_H264: return getenv("FAKE_V4L2_H264") != NULL;
    case V4L2_PIX_FMT_MJPEG: return any_jpegs();
    case V4L2_PIX_FMT_NV12: return getenv("FAKE_V4L2_NV12") != NULL;
    case V4L2_PIX_FMT_YUYV: return !getenv("FAKE_V4L2_H264");
    }
    return 0;
}

static int enumerate_format(struct v4l2_fmtdesc *f) {
    static const struct { uint32_t fourcc; const char *words; } all[] = {{V4L2_PIX_FMT_YUYV, "YUYV 4:2:2"},
        {V4L2_PIX_FMT_MJPEG, "Motion-JPEG"}, {V4L2_PIX_FMT_NV12, "Y/UV 4:2:0"}, {V4L2_PIX_FMT_H264, "H.264"}};
    int left = f->index, i = 0;
    while (i < 4 && (!has_format(all[i].fourcc) || left-- > 0)) i++;
    if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || i == 4) return fail(EINVAL);
    f->flags = i == 1 || i == 3 ? V4L2_FMT_FLAG_COMPRESSED : 0;
    strcpy((char *)f->description, all[i].words);
    f->pixelformat = all[i].fourcc;
    return 0;
}

static int enumerate_size(struct v4l2_frmsizeenum *f) {
    int left = f->index;
    for (int i = 0; i < SIZES; i++) {
        if (f->pixel_format == V4L2_PIX_FMT_MJPEG && !has_jpegs(sizes[i].width, sizes[i].height)) continue;
        if (f->pixel_format == V4L2_PIX_FMT_H264 && sizes[i].width != 1280) continue;
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
        pixelformat = has_format(p->pixelformat) ? p->pixelformat : getenv("FAKE_V4L2_H264") ? V4L2_PIX_FMT_H264 : V4L2_PIX_FMT_YUYV;
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
    p->bytesperline = pixelformat == V4L2_PIX_FMT_YUYV ? width * 2 : pixelformat == V4L2_PIX_FMT_NV12 ? width : 0;
    p->sizeimage = pixelformat == V4L2_PIX_FMT_NV12 ? width * height * 3 / 2 : width * height * 2;
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
    case VIDIOC_QUERYCTRL: return query_control(argument);
    case VIDIOC_QUERYMENU: return query_menu(argument);
    case VIDIOC_G_CTRL: return use_control(argument, 0);
    case VIDIOC_S_CTRL: return use_control(argument, 1);
    case VIDIOC_DQBUF: return d->streaming ? dequeue(d, argument) : fail(EINVAL);
    case VIDIOC_STREAMON: return stream(d, 1);
    case VIDIOC_STREAMOFF: return stream(d, 0);
    }
    return fail(ENOTTY);
}
