/* The other side of tests/roce_peers.rs on libibverbs: an independent program on an independent
 * implementation (rxe). Waits for one connection, exchanges addresses in a line of text, then sends and
 * receives messages as tests/roce_peers.rs describes, and checks every byte.
 *
 *   peer DEVICE GID-INDEX PORT MESSAGES MTU
 */
#include <arpa/inet.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOT 32768u
#define SLOTS 16u
#define AHEAD 8u
#define SOURCE 65536u

static void die(const char *what) {
    fprintf(stderr, "peer: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- what is sent, in both directions -------------------------------------------------------- */

enum { SEND, WRITE_IMM, WRITE, READ };
struct stream { uint32_t state, index, slot; };
struct message { uint32_t index, kind, bytes, from, slot; };

static uint32_t step(struct stream *s) {
    s->state ^= s->state << 13;
    s->state ^= s->state >> 17;
    s->state ^= s->state << 5;
    return s->state;
}

static struct message next(struct stream *s) {
    struct message m = {.index = s->index++};
    m.kind = step(s) >> 8 & 3;
    uint32_t size = step(s) >> 4;
    m.bytes = size % 3 == 0 ? size / 3 % 64 : size % 3 == 1 ? size / 3 % 4096 : size / 3 % 20000;
    m.from = (step(s) >> 4) % 40000;
    m.slot = s->slot % SLOTS;
    if (m.kind != READ) s->slot++;
    return m;
}

static uint8_t byte_of(uint32_t index, uint32_t j) { return index * 31 + j * 7 + (j >> 8); }
static uint8_t source_byte(uint32_t j) { return j * 13 + (j >> 8) * 5 + 1; }

/* --- the device -------------------------------------------------------------------------------- */

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct ibv_qp *qp;

static struct ibv_mr *region(size_t bytes, int access) {
    void *memory = calloc(1, bytes);
    struct ibv_mr *mr = memory ? ibv_reg_mr(pd, memory, bytes, IBV_ACCESS_LOCAL_WRITE | access) : NULL;
    if (!mr) die("ibv_reg_mr");
    return mr;
}

static void open_device(const char *name) {
    int count;
    struct ibv_device **list = ibv_get_device_list(&count);
    for (int i = 0; list && i < count; i++)
        if (!strcmp(ibv_get_device_name(list[i]), name)) context = ibv_open_device(list[i]);
    if (!context) die("ibv_open_device");
    pd = ibv_alloc_pd(context);
    cq = ibv_create_cq(context, 1024, NULL, NULL, 0);
    struct ibv_qp_init_attr init = {.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 256, .max_recv_wr = 256, .max_send_sge = 1, .max_recv_sge = 1}};
    qp = ibv_create_qp(pd, &init);
    if (!qp) die("ibv_create_qp");
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1,
        .qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ};
    if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS)) die("to INIT");
}

static void connect_qp(int gid_index, int mtu, uint32_t number, uint32_t psn, union ibv_gid gid) {
    enum ibv_mtu code = mtu == 256 ? 1 : mtu == 512 ? 2 : mtu == 1024 ? 3 : mtu == 2048 ? 4 : 5;
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_RTR, .path_mtu = code, .dest_qp_num = number, .rq_psn = psn,
        .max_dest_rd_atomic = 4, .min_rnr_timer = 12,
        .ah_attr = {.is_global = 1, .port_num = 1, .grh = {.dgid = gid, .sgid_index = gid_index, .hop_limit = 64}}};
    if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
                                     IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER)) die("to RTR");
    attr.qp_state = IBV_QPS_RTS;
    attr.timeout = 14;
    attr.retry_cnt = 7;
    attr.rnr_retry = 7;
    attr.sq_psn = 0xfffff0;
    attr.max_rd_atomic = 4;
    if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
                                     IBV_QP_MAX_QP_RD_ATOMIC)) die("to RTS");
}

/* --- the exchange -------------------------------------------------------------------------------- */

static struct ibv_mr *target, *source, *own, *receives;
static uint64_t peer_target, peer_source;
static uint32_t peer_target_key, peer_source_key;
static uint64_t wrong;

static void post_receive(uint64_t id) {
    struct ibv_sge sge = {(uintptr_t)receives->addr + id * SLOT, SLOT, receives->lkey};
    struct ibv_recv_wr wr = {.wr_id = id, .sg_list = &sge, .num_sge = 1}, *bad;
    if (ibv_post_recv(qp, &wr, &bad)) die("ibv_post_recv");
}

static void post(struct message *m, enum ibv_wr_opcode opcode, uint32_t bytes, uint64_t id) {
    struct ibv_sge sge = {(uintptr_t)own->addr + m->index % SLOTS * SLOT, bytes, own->lkey};
    struct ibv_send_wr wr = {.wr_id = id, .sg_list = &sge, .num_sge = bytes ? 1 : 0, .opcode = opcode,
                             .send_flags = IBV_SEND_SIGNALED, .imm_data = htonl(m->index)}, *bad;
    if (opcode == IBV_WR_RDMA_READ) {
        wr.wr.rdma.remote_addr = peer_source + m->from;
        wr.wr.rdma.rkey = peer_source_key;
    } else {
        wr.wr.rdma.remote_addr = peer_target + m->slot * SLOT;
        wr.wr.rdma.rkey = peer_target_key;
    }
    if (ibv_post_send(qp, &wr, &bad)) die("ibv_post_send");
}

static void send_message(struct message *m) {
    uint8_t *at = (uint8_t *)own->addr + m->index % SLOTS * SLOT;
    if (m->kind != READ) for (uint32_t j = 0; j < m->bytes; j++) at[j] = byte_of(m->index, j);
    switch (m->kind) {
    case SEND: post(m, IBV_WR_SEND_WITH_IMM, m->bytes, m->index); break;
    case WRITE_IMM: post(m, IBV_WR_RDMA_WRITE_WITH_IMM, m->bytes, m->index); break;
    case WRITE:
        post(m, IBV_WR_RDMA_WRITE, m->bytes, UINT64_MAX);
        post(m, IBV_WR_SEND_WITH_IMM, 0, m->index);
        break;
    case READ: post(m, IBV_WR_RDMA_READ, m->bytes, m->index); break;
    }
}

static void check(const uint8_t *at, struct message *m) {
    for (uint32_t j = 0; j < m->bytes; j++)
        wrong += at[j] != (m->kind == READ ? source_byte(m->from + j) : byte_of(m->index, j));
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int gid_index = atoi(argv[2]), mtu = atoi(argv[5]);
    uint32_t messages = atoi(argv[4]);
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    if (bind(listener, (void *)&any, sizeof any) || listen(listener, 1)) die("listen");
    open_device(argv[1]);
    target = region(SLOTS * SLOT, IBV_ACCESS_REMOTE_WRITE);
    source = region(SOURCE, IBV_ACCESS_REMOTE_READ);
    own = region(SLOTS * SLOT, 0);
    receives = region(2 * SLOTS * SLOT, 0);
    for (uint32_t j = 0; j < SOURCE; j++) ((uint8_t *)source->addr)[j] = source_byte(j);
    for (uint64_t id = 0; id < 2 * SLOTS; id++) post_receive(id);
    int control = accept(listener, NULL, NULL);
    if (control < 0) die("accept");

    union ibv_gid gid;
    if (ibv_query_gid(context, 1, gid_index, &gid)) die("ibv_query_gid");
    char line[256];
    int length = snprintf(line, sizeof line, "%u %u ", qp->qp_num, 0xfffff0u);
    for (int i = 0; i < 16; i++) length += snprintf(line + length, sizeof line - length, "%02x", gid.raw[i]);
    length += snprintf(line + length, sizeof line - length, " %lu %u %lu %u\n", (uintptr_t)target->addr, target->rkey,
                       (uintptr_t)source->addr, source->rkey);
    if (write(control, line, length) != length) die("write");
    for (length = 0; length < 255 && (!length || line[length - 1] != '\n'); length++)
        if (read(control, line + length, 1) != 1) die("read");
    line[length] = 0;
    uint32_t number, psn;
    char hex[33];
    if (sscanf(line, "%u %u %32s %lu %u %lu %u", &number, &psn, hex, &peer_target, &peer_target_key, &peer_source,
               &peer_source_key) != 7) die("the peer's line");
    for (int i = 0; i < 16; i++) sscanf(hex + 2 * i, "%2hhx", &gid.raw[i]);
    connect_qp(gid_index, mtu, number, psn, gid);
    if (write(control, "r", 1) != 1 || read(control, line, 1) != 1) die("ready");

    struct stream out = {.state = 0xbeef}, in = {.state = 0xcafe};
    struct message sent[SLOTS], reading = {0};
    uint32_t posted = 0, completed = 0, unverified = 0, verified = 0, peer_done = 0, said_done = 0;
    while (!(peer_done && said_done)) {
        while (posted < messages && posted - completed < AHEAD && unverified < AHEAD) {
            struct message m = next(&out);
            sent[m.index % SLOTS] = m;
            send_message(&m);
            posted++;
            unverified += m.kind != READ;
        }
        struct ibv_wc wc[16];
        int count = ibv_poll_cq(cq, 16, wc);
        for (int i = 0; i < count; i++) {
            if (wc[i].status) {
                fprintf(stderr, "peer: %s (%lu of %u)\n", ibv_wc_status_str(wc[i].status), wc[i].wr_id, messages);
                return 1;
            }
            if (!(wc[i].opcode & IBV_WC_RECV)) {
                if (wc[i].wr_id == UINT64_MAX) continue;
                struct message *m = &sent[wc[i].wr_id % SLOTS];
                if (m->kind == READ) check((uint8_t *)own->addr + m->index % SLOTS * SLOT, m);
                completed++;
                continue;
            }
            uint32_t index = ntohl(wc[i].imm_data);
            do reading = next(&in); while (reading.kind == READ);
            wrong += reading.index != index;
            wrong += reading.kind != WRITE && reading.bytes != wc[i].byte_len;
            const uint8_t *at = reading.kind == SEND ? (uint8_t *)receives->addr + wc[i].wr_id * SLOT
                                                     : (uint8_t *)target->addr + reading.slot * SLOT;
            check(at, &reading);
            verified++;
            post_receive(wc[i].wr_id);
            if (write(control, "c", 1) != 1) die("credit");
        }
        char words[64];
        ssize_t heard = recv(control, words, sizeof words, MSG_DONTWAIT);
        if (heard == 0) die("the peer is gone");
        for (ssize_t i = 0; i < heard; i++) {
            if (words[i] == 'c') unverified--;
            else peer_done = 1;
        }
        if (!said_done && completed == messages && !unverified) {
            said_done = 1;
            if (write(control, "d", 1) != 1) die("done");
        }
    }
    printf("peer: sent %u, received %u, wrong %lu\n", completed, verified, wrong);
    return wrong != 0;
}
