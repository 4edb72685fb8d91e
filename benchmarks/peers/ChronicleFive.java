// Chronicle Queue 5 (Maven Central), raw bytes of excerpts from off-heap memory, blocks of 256 MiB.
import net.openhft.affinity.Affinity;
import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.bytes.SyncMode;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.ExcerptTailer;
import net.openhft.chronicle.queue.RollCycles;
import net.openhft.chronicle.queue.impl.single.SingleChronicleQueueBuilder;
import net.openhft.chronicle.wire.DocumentContext;
import java.util.concurrent.locks.LockSupport;

public final class ChronicleFive extends Store {
    private final ChronicleQueue queue;
    private final Thread pretoucher;
    private volatile boolean isOver;

    private ChronicleFive(ChronicleQueue queue, boolean pretouches) {
        this.queue = queue;
        pretoucher = new Thread(this::pretouch);
        if (pretouches) {
            pretoucher.start();
        }
    }

    /// Prepares pages ahead of the writer, by an appender of its own, as the library documents it.
    private void pretouch() {
        try (ExcerptAppender ahead = queue.createAppender()) {
            while (!isOver) {
                ahead.pretouch();
                LockSupport.parkNanos(1_000_000);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Chronicle.serve(new Opener() {
            @Override
            public Store open(String directory, String mode, boolean isSynced) {
                return new ChronicleFive(SingleChronicleQueueBuilder.single(directory + "/queue").rollCycle(RollCycles.LARGE_DAILY)
                                             .blockSize(256L << 20).checkInterrupts(false)
                                             .syncMode(isSynced ? SyncMode.SYNC : SyncMode.NONE).build(), mode.equals("pretouched"));
            }

            @Override
            public void pin(int core) {
                Affinity.setAffinity(core);
            }
        });
    }

    @Override
    Writer writer(byte[][] excerpts) {
        ExcerptAppender to = queue.createAppender();
        Bytes<?>[] values = new Bytes<?>[excerpts.length];
        for (int i = 0; i < values.length; ++i) {
            values[i] = Bytes.allocateDirect(excerpts[i].length);
            values[i].write(excerpts[i]);
        }
        return new Writer() {
            @Override
            public void append(byte[] excerpt, int number) {
                Bytes<?> value = values[number];
                value.readPosition(0);
                to.writeBytes(value);
            }

            @Override
            public void appendSynced(byte[] excerpt, int number) {
                append(excerpt, number);
                to.sync();
            }

            @Override
            public void append(long time, byte[] rest) {
                try (DocumentContext excerpt = to.writingDocument()) {
                    excerpt.wire().bytes().writeLong(time).write(rest);
                }
            }
        };
    }

    @Override
    Reader reader() {
        ExcerptTailer from = queue.createTailer();
        return new Reader() {
            @Override
            public int firstByte() {
                try (DocumentContext excerpt = from.readingDocument()) {
                    return excerpt.isPresent() ? excerpt.wire().bytes().readUnsignedByte() : -1;
                }
            }

            @Override
            public long firstLong() {
                try (DocumentContext excerpt = from.readingDocument()) {
                    return excerpt.isPresent() ? excerpt.wire().bytes().readLong() : Long.MIN_VALUE;
                }
            }
        };
    }

    @Override
    void close() throws InterruptedException {
        isOver = true;
        pretoucher.join();
        queue.close();
    }
}
