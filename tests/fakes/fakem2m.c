/* A V4L2 memory-to-memory H.264 encoder in user space, for LD_PRELOAD: x264 behind the multi-planar API of a hardware encoder.
 *
 *   gcc -shared -fPIC -O2 -o fakem2m.so fakem2m.c -ldl        (x264.h is of libx264-dev; the library is loaded when needed)
 *
 * FAKE_M2M=/path/video11      "/dev" lists what is in /path, and /dev/video11 is the encoder. The first word in the file is
 *                             its state, read again at every open, ioctl and poll; without the file there is no encoder.
 *     ok       encodes            delay    gives each unit back three pictures later
 *     hang     takes pictures and gives none back: poll and VIDIOC_DQBUF wait for ever
 *     hang-open                   open() never returns
 *     eio      VIDIOC_DQBUF fails with EIO
 *     crash    SIGSEGV with the next picture
 *     busy     open() fails with EBUSY                    single   as ok, for one process at a time: others get EBUSY
 * FAKE_M2M_LOG=/path/log      gets a line for every control that is set: "ID VALUE", hexadecimal and decimal
 *
 * As in the Raspberry Pi's driver, SPS and PPS come once, by themselves or in front of the first picture (HEADER_MODE), unless
 * REPEAT_SEQ_HEADER is set, and lines of pictures are multiples of 32 bytes long.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <x264.h>

#define MAX_FDS 1024
#define MAX_BUFFERS 32
#define BUFFER_SHIFT 24 /* buffer number in the offset given to mmap; those of the capture queue begin at MAX_BUFFERS */
#define MAX_UNITS 64
#define DELAY 3
#define REAL(result, name, ...) ((result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

struct ring { unsigned items[MAX_BUFFERS], head, tail; };
struct queue {
    int streaming, count, memory_kind;
    size_t size;
    void *memory[MAX_BUFFERS];
    size_t used[MAX_BUFFERS];
    int dma[MAX_BUFFERS], flags[MAX_BUFFERS];
    struct timeval time[MAX_BUFFERS];
    struct ring waiting, done;
};
struct unit { unsigned char *data; size_t size; int flags; struct timeval time; };
struct device {
    int open, lock, width, height, stride, fps_num, fps_den, headers_due, force_key, draining, drained;
    int bitrate, gop, header_mode, repeat, profile, level;
    struct queue raw, coded; /* V4L2's OUTPUT and CAPTURE */
    struct unit units[MAX_UNITS];
    unsigned first, next;
    x264_t *encoder;
    x264_param_t param;
    int64_t pictures;
};

static struct device devices[MAX_FDS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int fail(int error) { errno = error; return -1; }

static struct device *device_of(int fd) {
    return fd >= 0 && fd < MAX_FDS && devices[fd].open ? &devices[fd] : NULL;
}

/* --- the state file and the log --- */

static const char *file_name(void) { const char *path = strrchr(getenv("FAKE_M2M"), '/'); return path + 1; }

static int state_is(const char *wanted) {
    char word[16] = "ok";
    FILE *file = fopen(getenv("FAKE_M2M"), "re");
    if (!file) return 0;
    if (fscanf(file, "%15s", word) != 1) strcpy(word, "ok");
    fclose(file);
    return !strcmp(word, wanted);
}

static void note(uint32_t id, int value) {
    const char *path = getenv("FAKE_M2M_LOG");
    char line[64];
    if (!path) return;
    int fd = REAL(int, open, const char *, int, mode_t)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    int size = snprintf(line, sizeof line, "%08x %d\n", id, value);
    if (fd >= 0 && write(fd, line, size) != size) perror("fakem2m");
    if (fd >= 0) close(fd);
}

/* --- x264, loaded by itself so that it meddles with no other x264 in the process --- */

static struct {
    int (*param_default_preset)(x264_param_t *, const char *, const char *);
    int (*param_apply_profile)(x264_param_t *, const char *);
    x264_t *(*encoder_open)(x264_param_t *);
    int (*encoder_reconfig)(x264_t *, x264_param_t *);
    int (*encoder_headers)(x264_t *, x264_nal_t **, int *);
    int (*encoder_encode)(x264_t *, x264_nal_t **, int *, x264_picture_t *, x264_picture_t *);
    void (*encoder_close)(x264_t *);
    void (*picture_init)(x264_picture_t *);
} x264;

#define TEXT(name) #name
#define NAME(name) TEXT(name)
#define SYMBOL(library, name) *(void **)&x264.name = dlsym(library, "x264_" #name)

static void load_x264(void) {
    if (x264.encoder_open) return;
    void *library = dlopen("libx264.so." NAME(X264_BUILD), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!library) { fprintf(stderr, "fakem2m: %s\n", dlerror()); abort(); }
    SYMBOL(library, param_default_preset);
    SYMBOL(library, param_apply_profile);
    SYMBOL(library, encoder_reconfig);
    SYMBOL(library, encoder_headers);
    SYMBOL(library, encoder_encode);
    SYMBOL(library, encoder_close);
    SYMBOL(library, picture_init);
    *(void **)&x264.encoder_open = dlsym(library, NAME(x264_encoder_open));
}

static void set_rate(struct device *d) {
    d->param.rc.i_bitrate = d->param.rc.i_vbv_max_bitrate = d->bitrate / 1000;
    d->param.rc.i_vbv_buffer_size = d->bitrate / 2000;
    if (d->encoder) x264.encoder_reconfig(d->encoder, &d->param);
}

static void start_encoder(struct device *d) {
    if (d->encoder) return;
    load_x264();
    x264_param_t *p = &d->param;
    x264.param_default_preset(p, "ultrafast", "zerolatency");
    p->i_log_level = X264_LOG_ERROR;
    p->i_csp = X264_CSP_I420;
    p->i_width = d->width;
    p->i_height = d->height;
    p->i_fps_num = d->fps_num;
    p->i_fps_den = d->fps_den;
    p->b_vfr_input = 0;
    p->i_keyint_max = d->gop;
    p->i_threads = 1;
    p->b_sliced_threads = 0;
    p->b_repeat_headers = 0;
    p->b_annexb = 1;
    p->rc.i_rc_method = X264_RC_ABR;
    set_rate(d);
    x264.param_apply_profile(p, "baseline");
    d->encoder = x264.encoder_open(p);
    d->headers_due = 1;
    d->pictures = 0;
}

/* --- the work --- */

static int pop(struct ring *r) { return r->head == r->tail ? -1 : (int)r->items[r->head++ % MAX_BUFFERS]; }
static void push(struct ring *r, unsigned index) { r->items[r->tail++ % MAX_BUFFERS] = index; }
static int empty(const struct ring *r) { return r->head == r->tail; }

static void add_unit(struct device *d, const void *before, size_t before_size, const void *data, size_t size, int flags,
                     struct timeval time) {
    struct unit *unit = &d->units[d->next++ % MAX_UNITS];
    unit->data = malloc(before_size + size + 1);
    memcpy(unit->data, before, before_size);
    memcpy(unit->data + before_size, data, size);
    unit->size = before_size + size;
    unit->flags = flags;
    unit->time = time;
}

static void encode_picture(struct device *d, int index) {
    x264_picture_t picture, out;
    x264_nal_t *nals;
    int count, header_size = 0;
    unsigned char *raw = d->raw.memory[index];
    x264.picture_init(&picture);
    picture.img.i_csp = X264_CSP_I420;
    picture.img.i_plane = 3;
    picture.img.plane[0] = raw;
    picture.img.plane[1] = raw + d->stride * d->height;
    picture.img.plane[2] = picture.img.plane[1] + d->stride / 2 * (d->height / 2);
    picture.img.i_stride[0] = d->stride;
    picture.img.i_stride[1] = picture.img.i_stride[2] = d->stride / 2;
    picture.i_pts = d->pictures++;
    picture.i_type = d->force_key ? X264_TYPE_IDR : X264_TYPE_AUTO;
    d->force_key = 0;
    int size = x264.encoder_encode(d->encoder, &nals, &count, &picture, &out);
    if (size <= 0) abort();
    int flags = out.b_keyframe ? V4L2_BUF_FLAG_KEYFRAME : V4L2_BUF_FLAG_PFRAME;
    unsigned char *unit = malloc(size), *headers = NULL;
    memcpy(unit, nals[0].p_payload, size);
    if (d->headers_due || (d->repeat && out.b_keyframe)) {
        header_size = x264.encoder_headers(d->encoder, &nals, &count);
        headers = nals[0].p_payload;
        header_size -= nals[count - 1].i_payload; /* x264's own SEI */
        if (d->header_mode == V4L2_MPEG_VIDEO_HEADER_MODE_SEPARATE && !d->repeat) {
            add_unit(d, NULL, 0, headers, header_size, 0, d->raw.time[index]);
            header_size = 0;
        }
    }
    d->headers_due = 0;
    add_unit(d, headers, header_size, unit, size, flags, d->raw.time[index]);
    free(unit);
}

static void fill(struct device *d, struct unit *unit, int flags) {
    int index = pop(&d->coded.waiting);
    d->coded.used[index] = unit ? unit->size : 0;
    d->coded.flags[index] = flags | (unit ? unit->flags : 0);
    if (unit) {
        memcpy(d->coded.memory[index], unit->data, unit->size);
        d->coded.time[index] = unit->time;
        free(unit->data);
    }
    push(&d->coded.done, index);
}

static void work(struct device *d) {
    if (!d->raw.streaming || !d->coded.streaming || state_is("hang")) return;
    int index;
    while (d->next - d->first < MAX_UNITS - 2 && (index = pop(&d->raw.waiting)) >= 0) {
        if (state_is("crash")) raise(SIGSEGV);
        encode_picture(d, index);
        push(&d->raw.done, index);
    }
    unsigned held = !d->draining && state_is("delay") ? DELAY : 0;
    while (d->next - d->first > held && !empty(&d->coded.waiting)) fill(d, &d->units[d->first++ % MAX_UNITS], 0);
    if (d->draining && !d->drained && d->next == d->first && !empty(&d->coded.waiting)) {
        fill(d, NULL, V4L2_BUF_FLAG_LAST);
        d->drained = 1;
    }
}

/* --- ioctls --- */

static struct queue *queue_of(struct device *d, uint32_t type) {
    return type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE ? &d->raw : type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE ? &d->coded : NULL;
}

static int query_capability(struct v4l2_capability *c) {
    memset(c, 0, sizeof *c);
    strcpy((char *)c->driver, "fakem2m");
    strcpy((char *)c->card, "Fake H.264 encoder");
    strcpy((char *)c->bus_info, "platform:fakem2m");
    c->device_caps = V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING;
    c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int enumerate_format(struct v4l2_fmtdesc *f) {
    int coded = f->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
    if (f->index || (!coded && f->type != V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE)) return fail(EINVAL);
    f->flags = coded ? V4L2_FMT_FLAG_COMPRESSED : 0;
    strcpy((char *)f->description, coded ? "H.264" : "Planar YUV 4:2:0");
    f->pixelformat = coded ? V4L2_PIX_FMT_H264 : V4L2_PIX_FMT_YUV420;
    return 0;
}

static int format(struct device *d, struct v4l2_format *f, unsigned long request) {
    struct v4l2_pix_format_mplane *p = &f->fmt.pix_mp;
    struct queue *q = queue_of(d, f->type);
    if (!q) return fail(EINVAL);
    int width = d->width, height = d->height;
    unsigned stride = d->stride, size = p->plane_fmt[0].sizeimage;
    if (request != VIDIOC_G_FMT) {
        width = p->width < 32 ? 32 : p->width > 4096 ? 4096 : p->width & ~1;
        height = p->height < 32 ? 32 : p->height > 4096 ? 4096 : p->height & ~1;
        stride = (width + 31) & ~31;
        if (q == &d->raw && p->plane_fmt[0].bytesperline > stride) stride = (p->plane_fmt[0].bytesperline + 31) & ~31;
    }
    if (q == &d->raw) size = stride * height * 3 / 2;
    else if (request == VIDIOC_G_FMT) size = q->size;
    else size = size > (512 << 10) ? size : 512 << 10;
    if (request == VIDIOC_S_FMT) {
        if (q->count) return fail(EBUSY);
        if (q == &d->raw) { d->width = width; d->height = height; d->stride = stride; }
        q->size = size;
    }
    memset(p, 0, sizeof *p);
    p->width = width;
    p->height = height;
    p->num_planes = 1;
    p->field = V4L2_FIELD_NONE;
    p->pixelformat = q == &d->raw ? V4L2_PIX_FMT_YUV420 : V4L2_PIX_FMT_H264;
    p->plane_fmt[0].bytesperline = q == &d->raw ? stride : 0;
    p->plane_fmt[0].sizeimage = size;
    return 0;
}

static int request_buffers(struct device *d, struct v4l2_requestbuffers *r) {
    struct queue *q = queue_of(d, r->type);
    if (!q || (r->memory != V4L2_MEMORY_MMAP && r->memory != V4L2_MEMORY_DMABUF)) return fail(EINVAL);
    if (r->count > MAX_BUFFERS) r->count = MAX_BUFFERS;
    for (unsigned i = 0; i < r->count && r->memory == V4L2_MEMORY_MMAP; i++)
        q->memory[i] = REAL(void *, mmap, void *, size_t, int, int, int, off_t)(
            0, q->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    q->count = r->count;
    q->memory_kind = r->memory;
    memset(&q->waiting, 0, sizeof q->waiting);
    memset(&q->done, 0, sizeof q->done);
    return 0;
}

static int query_buffer(struct device *d, struct v4l2_buffer *b) {
    struct queue *q = queue_of(d, b->type);
    if (!q || (int)b->index >= q->count || !b->m.planes) return fail(EINVAL);
    b->m.planes[0].length = q->size;
    b->m.planes[0].m.mem_offset = (b->index + (q == &d->coded ? MAX_BUFFERS : 0)) << BUFFER_SHIFT;
    b->length = 1;
    b->flags = 0;
    return 0;
}

static int queue_buffer(struct device *d, struct v4l2_buffer *b) {
    struct queue *q = queue_of(d, b->type);
    if (!q || (int)b->index >= q->count) return fail(EINVAL);
    q->time[b->index] = b->timestamp;
    if (b->memory == V4L2_MEMORY_DMABUF) {
        if (q->memory[b->index]) munmap(q->memory[b->index], q->size);
        q->memory[b->index] = REAL(void *, mmap, void *, size_t, int, int, int, off_t)(
            0, q->size, PROT_READ, MAP_SHARED, b->m.planes[0].m.fd, 0);
        if (q->memory[b->index] == MAP_FAILED) { q->memory[b->index] = NULL; return -1; }
    }
    push(&q->waiting, b->index);
    work(d);
    return 0;
}

static int dequeue_buffer(int fd, struct device *d, struct v4l2_buffer *b) {
    struct queue *q = queue_of(d, b->type);
    if (!q || !q->streaming) return fail(EINVAL);
    int index;
    for (;;) {
        if (state_is("eio")) return fail(EIO);
        work(d);
        if (!state_is("hang") && (index = pop(&q->done)) >= 0) break;
        if (q == &d->coded && d->drained) return fail(EPIPE);
        if (fcntl(fd, F_GETFL) & O_NONBLOCK) return fail(EAGAIN);
        pthread_mutex_unlock(&mutex);
        usleep(1000);
        pthread_mutex_lock(&mutex);
    }
    b->index = index;
    b->memory = q->memory_kind;
    b->length = 1;
    b->field = V4L2_FIELD_NONE;
    b->timestamp = q->time[index];
    b->flags = V4L2_BUF_FLAG_TIMESTAMP_COPY | (q == &d->coded ? q->flags[index] : 0);
    if (b->m.planes) {
        b->m.planes[0].bytesused = q == &d->coded ? q->used[index] : q->size;
        b->m.planes[0].length = q->size;
        b->m.planes[0].data_offset = 0;
    }
    return 0;
}

static int stream(struct device *d, uint32_t type, int on) {
    struct queue *q = queue_of(d, type);
    if (!q) return fail(EINVAL);
    if (on && state_is("eio")) return fail(EIO);
    q->streaming = on;
    if (on) start_encoder(d);
    else { memset(&q->waiting, 0, sizeof q->waiting); memset(&q->done, 0, sizeof q->done); }
    work(d);
    return 0;
}

static int *control_of(struct device *d, uint32_t id) {
    static int other;
    switch (id) {
    case V4L2_CID_MPEG_VIDEO_BITRATE: return &d->bitrate;
    case V4L2_CID_MPEG_VIDEO_GOP_SIZE: case V4L2_CID_MPEG_VIDEO_H264_I_PERIOD: return &d->gop;
    case V4L2_CID_MPEG_VIDEO_HEADER_MODE: return &d->header_mode;
    case V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER: return &d->repeat;
    case V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME: return &d->force_key;
    case V4L2_CID_MPEG_VIDEO_H264_PROFILE: return &d->profile;
    case V4L2_CID_MPEG_VIDEO_H264_LEVEL: return &d->level;
    case V4L2_CID_MPEG_VIDEO_B_FRAMES: case V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE: case V4L2_CID_MPEG_VIDEO_BITRATE_MODE:
    case V4L2_CID_MPEG_VIDEO_H264_MIN_QP: case V4L2_CID_MPEG_VIDEO_H264_MAX_QP: other = 0; return &other;
    }
    return NULL;
}

static int set_control(struct device *d, uint32_t id, int value) {
    int *control = control_of(d, id);
    if (!control) return fail(EINVAL);
    if (id == V4L2_CID_MPEG_VIDEO_B_FRAMES && value) return fail(ERANGE);
    *control = id == V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME ? 1 : value; /* a button: its value means nothing */
    note(id, value);
    if (id == V4L2_CID_MPEG_VIDEO_BITRATE && d->encoder) set_rate(d);
    return 0;
}

static int get_control(struct device *d, uint32_t id, int32_t *value) {
    int *control = control_of(d, id);
    if (!control || id == V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME) return fail(control ? EACCES : EINVAL);
    *value = *control;
    return 0;
}

static int controls(struct device *d, struct v4l2_ext_controls *c, int set) {
    for (c->error_idx = 0; c->error_idx < c->count; c->error_idx++) {
        struct v4l2_ext_control *each = &c->controls[c->error_idx];
        int32_t value = each->value; /* the struct is packed */
        if (set ? set_control(d, each->id, value) : get_control(d, each->id, &value)) return -1;
        each->value = value;
    }
    return 0;
}

static int query_control(struct device *d, struct v4l2_queryctrl *q) {
    if (!control_of(d, q->id)) return fail(EINVAL);
    uint32_t id = q->id;
    memset(q, 0, sizeof *q);
    q->id = id;
    q->type = id == V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME ? V4L2_CTRL_TYPE_BUTTON : V4L2_CTRL_TYPE_INTEGER;
    q->maximum = id == V4L2_CID_MPEG_VIDEO_BITRATE ? 25000000 : 65535;
    q->step = 1;
    return 0;
}

static int stream_parameters(struct device *d, struct v4l2_streamparm *s) {
    struct v4l2_fract *t = &s->parm.output.timeperframe;
    if (t->numerator && t->denominator) { d->fps_num = t->denominator; d->fps_den = t->numerator; }
    s->parm.output.capability = V4L2_CAP_TIMEPERFRAME;
    return 0;
}

static int device_ioctl(int fd, struct device *d, unsigned long request, void *argument) {
    switch (request) {
    case VIDIOC_QUERYCAP: return query_capability(argument);
    case VIDIOC_ENUM_FMT: return enumerate_format(argument);
    case VIDIOC_TRY_FMT: case VIDIOC_S_FMT: case VIDIOC_G_FMT: return format(d, argument, request);
    case VIDIOC_S_PARM: return stream_parameters(d, argument);
    case VIDIOC_REQBUFS: return request_buffers(d, argument);
    case VIDIOC_QUERYBUF: return query_buffer(d, argument);
    case VIDIOC_QBUF: return queue_buffer(d, argument);
    case VIDIOC_DQBUF: return dequeue_buffer(fd, d, argument);
    case VIDIOC_STREAMON: return stream(d, *(uint32_t *)argument, 1);
    case VIDIOC_STREAMOFF: return stream(d, *(uint32_t *)argument, 0);
    case VIDIOC_S_CTRL: return set_control(d, ((struct v4l2_control *)argument)->id, ((struct v4l2_control *)argument)->value);
    case VIDIOC_G_CTRL: return get_control(d, ((struct v4l2_control *)argument)->id, &((struct v4l2_control *)argument)->value);
    case VIDIOC_S_EXT_CTRLS: return controls(d, argument, 1);
    case VIDIOC_G_EXT_CTRLS: return controls(d, argument, 0);
    case VIDIOC_QUERYCTRL: return query_control(d, argument);
    case VIDIOC_SUBSCRIBE_EVENT: return 0;
    case VIDIOC_TRY_ENCODER_CMD: return 0;
    case VIDIOC_ENCODER_CMD:
        d->draining = ((struct v4l2_encoder_cmd *)argument)->cmd == V4L2_ENC_CMD_STOP;
        work(d);
        return 0;
    }
    return fail(ENOTTY);
}

/* --- the calls that are taken over --- */

int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    struct device *d = device_of(fd);
    if (!d) return REAL(int, ioctl, int, unsigned long, void *)(fd, request, argument);
    pthread_mutex_lock(&mutex);
    int result = device_ioctl(fd, d, request & 0xffffffffUL, argument); /* callers that keep it in an int sign-extend it */
    pthread_mutex_unlock(&mutex);
    return result;
}

static short ready(struct device *d) {
    if (state_is("eio")) return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    work(d);
    if (state_is("hang")) return 0;
    if (!d->raw.streaming && !d->coded.streaming) return POLLERR;
    return (empty(&d->coded.done) ? 0 : POLLIN | POLLRDNORM) | (empty(&d->raw.done) ? 0 : POLLOUT | POLLWRNORM);
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
    int ours = 0, found = 0;
    for (nfds_t i = 0; i < count; i++) ours += device_of(fds[i].fd) != NULL;
    if (!ours) return REAL(int, poll, struct pollfd *, nfds_t, int)(fds, count, timeout);
    for (int waited = 0;; waited++) {
        for (nfds_t i = 0; i < count; i++) {
            struct device *d = device_of(fds[i].fd);
            fds[i].revents = 0;
            if (!d) { REAL(int, poll, struct pollfd *, nfds_t, int)(&fds[i], 1, 0); found += fds[i].revents != 0; continue; }
            pthread_mutex_lock(&mutex);
            fds[i].revents = ready(d) & (fds[i].events | POLLERR);
            pthread_mutex_unlock(&mutex);
            found += fds[i].revents != 0;
        }
        if (found || (timeout >= 0 && waited >= timeout)) return found;
        usleep(1000);
    }
}

static int is_encoder(const char *path) {
    return getenv("FAKE_M2M") && path && !strncmp(path, "/dev/video", 10) && !strcmp(path + 5, file_name());
}

static int open_encoder(void) {
    char lock_path[512];
    while (state_is("hang-open")) usleep(20000);
    if (state_is("busy")) return fail(EBUSY);
    snprintf(lock_path, sizeof lock_path, "%s.lock", getenv("FAKE_M2M"));
    int lock = REAL(int, open, const char *, int, mode_t)(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (state_is("single") && flock(lock, LOCK_EX | LOCK_NB)) { close(lock); return fail(EBUSY); }
    if (!state_is("single")) flock(lock, LOCK_SH | LOCK_NB);
    return lock;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list arguments; va_start(arguments, flags); mode = va_arg(arguments, mode_t); va_end(arguments); \
        } \
        if (!is_encoder(path)) return REAL(int, name, const char *, int, mode_t)(path, flags, mode); \
        int lock = open_encoder(); \
        if (lock < 0) return -1; \
        int fd = REAL(int, name, const char *, int, mode_t)(getenv("FAKE_M2M"), flags, mode); \
        if (fd < 0 || fd >= MAX_FDS) { close(lock); return fd; } \
        devices[fd] = (struct device){.open = 1, .lock = lock, .width = 640, .height = 480, .stride = 640, .fps_num = 30, \
                                      .fps_den = 1, .bitrate = 10000000, .gop = 60}; \
        return fd; \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    struct device *d = device_of(fd);
    if (d) {
        d->open = 0;
        if (d->encoder) x264.encoder_close(d->encoder);
        while (d->first != d->next) free(d->units[d->first++ % MAX_UNITS].data);
        REAL(int, close, int)(d->lock);
    }
    return REAL(int, close, int)(fd);
}

#define MMAP(name, offset_type) \
    void *name(void *address, size_t length, int protection, int flags, int fd, offset_type offset) { \
        struct device *d = device_of(fd); \
        if (!d) return REAL(void *, name, void *, size_t, int, int, int, offset_type)( \
            address, length, protection, flags, fd, offset); \
        unsigned number = offset >> BUFFER_SHIFT; \
        return number < MAX_BUFFERS ? d->raw.memory[number] : d->coded.memory[number % MAX_BUFFERS]; \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

DIR *opendir(const char *path) {
    char directory[512];
    if (getenv("FAKE_M2M") && !strcmp(path, "/dev")) {
        snprintf(directory, sizeof directory, "%.*s", (int)(file_name() - 1 - getenv("FAKE_M2M")), getenv("FAKE_M2M"));
        path = directory;
    }
    return REAL(DIR *, opendir, const char *)(path);
}

ssize_t readlink(const char *path, char *out, size_t size) {
    int fd;
    if (sscanf(path, "/proc/self/fd/%d", &fd) != 1 || !device_of(fd))
        return REAL(ssize_t, readlink, const char *, char *, size_t)(path, out, size);
    char target[256];
    size_t length = snprintf(target, sizeof target, "/dev/%s", file_name());
    length = length < size ? length : size;
    memcpy(out, target, length);
    return length;
}

#define FSTAT(name, kind) \
    int name(int fd, struct kind *out) { \
        int result = REAL(int, name, int, struct kind *)(fd, out); \
        if (!result && device_of(fd)) { out->st_mode = S_IFCHR | 0660; out->st_rdev = makedev(81, 11); out->st_size = 0; } \
        return result; \
    }
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)
