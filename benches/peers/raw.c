/* Plain sockets: collectives of float32 with nothing but send, recv and poll; the baseline without a library.
 *
 *   raw OP BYTES ITERATIONS WARMUP FOLDER RANK RANKS NETWORK PORT blocking|spinning
 *
 * OP: all_reduce, all_gather, reduce_scatter (rings), all_to_all (pairwise), all_reduce_small (doubling),
 * ping_pong. BYTES as nccl-tests counts them: the whole vector (all_gather: of the result). Rank R listens on
 * NETWORK.(R+1):PORT, for example 10.88.0.1. Before the timing, one round with real data is checked. */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_RANKS = 64, SEGMENT = 256 * 1024, CONNECT_TRIES = 6000, CONNECT_PAUSE_US = 5000 };

static int rank, ranks, spinning;
static int peer[MAX_RANKS]; /* the socket to each rank, -1 where there is none */
static size_t bytes, count; /* the size of the whole vector, and its floats */
static float *vector, *result;
static char scratch[SEGMENT];

/* ---- connections ---------------------------------------------------------------------------------------- */

static struct sockaddr_in address_of(const char *network, int of_rank, int port) {
    char text[64];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    snprintf(text, sizeof text, "%s.%d", network, of_rank + 1);
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) die(text);
    return address;
}

static void no_delay(int fd) {
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) die("TCP_NODELAY");
}

static int connect_to(struct sockaddr_in to) {
    for (int i = 0; i < CONNECT_TRIES; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0) die("socket");
        if (!connect(fd, (struct sockaddr *)&to, sizeof to)) return fd;
        close(fd);
        usleep(CONNECT_PAUSE_US);
    }
    die("connect");
    return -1;
}

/* Whether this operation sends anything between the two ranks. */
static int are_neighbours(const char *op, int a, int b) {
    int ring = !strcmp(op, "all_reduce") || !strcmp(op, "all_gather") || !strcmp(op, "reduce_scatter");
    return !ring || (a + 1) % ranks == b || (b + 1) % ranks == a;
}

/* The higher rank connects to the lower one and says who it is. */
static void connect_all(const char *op, const char *network, int port) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, expected = 0;
    struct sockaddr_in here = address_of(network, rank, port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&here, sizeof here)) die("bind");
    if (listen(listener, MAX_RANKS)) die("listen");
    for (int r = 0; r < ranks; r++) {
        peer[r] = -1;
        if (r == rank || !are_neighbours(op, rank, r)) continue;
        if (r > rank) {
            expected++;
            continue;
        }
        peer[r] = connect_to(address_of(network, r, port));
        no_delay(peer[r]);
        if (send(peer[r], &rank, sizeof rank, 0) != sizeof rank) die("send");
    }
    while (expected--) {
        int who, fd = accept(listener, NULL, NULL);
        if (fd < 0) die("accept");
        if (recv(fd, &who, sizeof who, MSG_WAITALL) != sizeof who) die("recv");
        no_delay(fd);
        peer[who] = fd;
    }
    close(listener);
}

/* ---- moving bytes --------------------------------------------------------------------------------------- */

static ssize_t moved(ssize_t n, const char *what) {
    if (n > 0) return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n == 0) errno = ECONNRESET;
    die(what);
    return 0;
}

/* Adds the whole floats of the scratch to `into` and keeps the odd bytes at its start. */
static size_t add_scratch(float **into, size_t filled) {
    const float *from = (const float *)scratch;
    size_t floats = filled / sizeof(float), rest = filled % sizeof(float);
    for (size_t i = 0; i < floats; i++) (*into)[i] += from[i];
    *into += floats;
    memmove(scratch, scratch + floats * sizeof(float), rest);
    return rest;
}

/* Sends to one rank and receives from another at the same time; adds what comes where `add` says so. */
static void exchange(int to, const float *out, size_t out_floats, int from, float *in, size_t in_floats, int add) {
    const char *send_at = (const char *)out;
    char *recv_at = (char *)in;
    size_t to_send = out_floats * sizeof(float), to_recv = in_floats * sizeof(float), filled = 0;
    while (to_send || to_recv) {
        size_t progress = 0;
        if (to_send) {
            ssize_t n = moved(send(peer[to], send_at, to_send, MSG_DONTWAIT | MSG_NOSIGNAL), "send");
            send_at += n, to_send -= n, progress += n;
        }
        if (to_recv) {
            size_t room = add && to_recv > SEGMENT - filled ? SEGMENT - filled : to_recv;
            ssize_t n = moved(recv(peer[from], add ? scratch + filled : recv_at, room, MSG_DONTWAIT), "recv");
            to_recv -= n, progress += n;
            if (add && n)
                filled = add_scratch(&in, filled + n);
            else
                recv_at += n;
        }
        if (progress || spinning) continue;
        struct pollfd wait[2] = {{.fd = to_recv ? peer[from] : -1, .events = POLLIN},
                                 {.fd = to_send ? peer[to] : -1, .events = POLLOUT}};
        if (poll(wait, 2, -1) < 0 && errno != EINTR) die("poll");
    }
}

/* ---- operations ----------------------------------------------------------------------------------------- */

static size_t chunk_start(int chunk) { return count * chunk / ranks; }
static size_t chunk_floats(int chunk) { return chunk_start(chunk + 1) - chunk_start(chunk); }
static int wrap(int r) { return ((r % ranks) + ranks) % ranks; }

/* One turn around the ring: in step s, this rank passes on the chunk it got in step s-1. */
static void ring(float *data, int first_chunk, int add) {
    int next = wrap(rank + 1), previous = wrap(rank - 1);
    for (int step = 0; step < ranks - 1; step++) {
        int out = wrap(first_chunk - step), in = wrap(first_chunk - step - 1);
        exchange(next, data + chunk_start(out), chunk_floats(out), previous, data + chunk_start(in), chunk_floats(in), add);
    }
}

static void reduce_scatter(void) { ring(vector, rank, 1); } /* this rank ends with chunk rank+1 complete */
static void all_gather(void) { ring(vector, rank, 0); }
static void all_reduce(void) {
    ring(vector, rank, 1);
    ring(vector, rank + 1, 0);
}

/* A rank's own part stays where it is: nothing of it goes over the network. */
static void all_to_all(void) {
    for (int step = 1; step < ranks; step++) {
        int to = wrap(rank + step), from = wrap(rank - step);
        exchange(to, vector + chunk_start(to), chunk_floats(to), from, result + chunk_start(from), chunk_floats(from), 0);
    }
}

/* Recursive doubling where the ranks are a power of two; else everyone sends to everyone. */
static void all_reduce_small(void) {
    if (!(ranks & (ranks - 1))) {
        for (int distance = 1; distance < ranks; distance *= 2) {
            int other = rank ^ distance;
            exchange(other, vector, count, other, result, count, 0);
            for (size_t i = 0; i < count; i++) vector[i] += result[i];
        }
        return;
    }
    memcpy(result, vector, bytes);
    for (int step = 1; step < ranks; step++)
        exchange(wrap(rank + step), vector, count, wrap(rank - step), result, count, 1);
    memcpy(vector, result, bytes);
}

static void pass(int sending) {
    int flags = spinning ? MSG_DONTWAIT : 0;
    char *at = (char *)vector;
    for (size_t left = bytes; left;) {
        ssize_t n = sending ? moved(send(peer[!rank], at, left, flags | MSG_NOSIGNAL), "send")
                            : moved(recv(peer[!rank], at, left, flags), "recv");
        at += n, left -= n;
    }
}

static void ping_pong(void) {
    pass(rank == 0);
    pass(rank != 0);
}

/* ---- the check and main --------------------------------------------------------------------------------- */

static void expect(const float *data, int chunk, float value) {
    for (size_t i = chunk_start(chunk); i < chunk_start(chunk + 1); i++)
        if (data[i] != value) {
            fprintf(stderr, "rank %d: element %zu is %g, expected %g\n", rank, i, data[i], value);
            exit(1);
        }
}

/* Every rank contributes its number plus one, so each result is known. */
static void check(const char *op, void (*once)(void)) {
    float sum = ranks * (ranks + 1) / 2;
    for (size_t i = 0; i < count; i++) vector[i] = rank + 1;
    once();
    for (int chunk = 0; chunk < ranks; chunk++) {
        if (!strncmp(op, "all_reduce", 10)) expect(vector, chunk, sum);
        if (!strcmp(op, "all_gather")) expect(vector, chunk, chunk + 1);
        if (!strcmp(op, "all_to_all") && chunk != rank) expect(result, chunk, chunk + 1);
        if (!strcmp(op, "reduce_scatter") && chunk == wrap(rank + 1)) expect(vector, chunk, sum);
    }
    memset(vector, 0, bytes); /* zeros stay zeros, however often they are added */
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*once)(void);
    } ops[] = {{"all_reduce", all_reduce},         {"all_gather", all_gather}, {"reduce_scatter", reduce_scatter},
               {"all_to_all", all_to_all},         {"ping_pong", ping_pong},   {"all_reduce_small", all_reduce_small}};
    if (argc != 11) {
        fprintf(stderr, "usage: raw OP BYTES ITERATIONS WARMUP FOLDER RANK RANKS NETWORK PORT blocking|spinning\n");
        return 2;
    }
    bytes = strtoull(argv[2], NULL, 10) / sizeof(float) * sizeof(float);
    count = bytes / sizeof(float);
    rank = atoi(argv[6]), ranks = atoi(argv[7]);
    spinning = !strcmp(argv[10], "spinning");
    if (ranks < 2 || ranks > MAX_RANKS || rank < 0 || rank >= ranks) {
        fprintf(stderr, "raw: 2 to %d ranks\n", MAX_RANKS);
        return 2;
    }
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(argv[1], ops[i].name)) continue;
        vector = allocate(bytes);
        result = allocate(bytes);
        connect_all(argv[1], argv[8], atoi(argv[9]));
        check(argv[1], ops[i].once);
        measure(ops[i].once, atoi(argv[3]), atoi(argv[4]), argv[5], rank, ranks);
        return 0;
    }
    fprintf(stderr, "raw: unknown operation %s\n", argv[1]);
    return 2;
}
