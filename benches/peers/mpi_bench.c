/* The same operations with an MPI library's own collectives; built once with Open MPI and once with MPICH.
 *
 *   mpi_bench OP BYTES ITERATIONS WARMUP FOLDER
 *
 * OP: all_reduce, all_gather, reduce_scatter, all_to_all. BYTES as nccl-tests counts them: the whole vector
 * (all_gather: of the result). Each rank writes FOLDER/RANK.json, see bench.h. */
#include "bench.h"

#include <mpi.h>

static int rank, ranks, part; /* part: the floats of one of `ranks` equal parts */
static int count;
static float *in, *out;

static void all_reduce(void) { MPI_Allreduce(in, out, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }
static void all_gather(void) { MPI_Allgather(in, part, MPI_FLOAT, out, part, MPI_FLOAT, MPI_COMM_WORLD); }
static void reduce_scatter(void) { MPI_Reduce_scatter_block(in, out, part, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }
static void all_to_all(void) { MPI_Alltoall(in, part, MPI_FLOAT, out, part, MPI_FLOAT, MPI_COMM_WORLD); }

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*once)(void);
    } ops[] = {{"all_reduce", all_reduce}, {"all_gather", all_gather},
               {"reduce_scatter", reduce_scatter}, {"all_to_all", all_to_all}};
    if (argc != 6) {
        fprintf(stderr, "usage: mpi_bench OP BYTES ITERATIONS WARMUP FOLDER\n");
        return 2;
    }
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    count = strtoull(argv[2], NULL, 10) / sizeof(float);
    part = count / ranks;
    in = allocate(count * sizeof(float));
    out = allocate(count * sizeof(float));
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(argv[1], ops[i].name)) continue;
        MPI_Barrier(MPI_COMM_WORLD);
        measure(ops[i].once, atoi(argv[3]), atoi(argv[4]), argv[5], rank, ranks);
        MPI_Barrier(MPI_COMM_WORLD);
        MPI_Finalize();
        return 0;
    }
    fprintf(stderr, "mpi_bench: unknown operation %s\n", argv[1]);
    MPI_Abort(MPI_COMM_WORLD, 2);
    return 2;
}
