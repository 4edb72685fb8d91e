// Chronicle Queue 3 (Debian's libopenhft-chronicle-queue-java), where it is a list of excerpts: "indexed" for one writer, "vanilla" for many.
import net.openhft.affinity.AffinitySupport;
import net.openhft.chronicle.ChronicleQueueBuilder;
import net.openhft.chronicle.ExcerptAppender;
import net.openhft.chronicle.ExcerptTailer;

public final class ChronicleThree extends Store {
    private final net.openhft.chronicle.Chronicle queue;

    private ChronicleThree(net.openhft.chronicle.Chronicle queue) {
        this.queue = queue;
    }

    public static void main(String[] arguments) throws Exception {
        Chronicle.serve(new Opener() {
            @Override
            public Store open(String directory, String mode, boolean isSynced) throws Exception {
                return new ChronicleThree(mode.equals("indexed") ? ChronicleQueueBuilder.indexed(directory + "/queue").build()
                                                                 : ChronicleQueueBuilder.vanilla(directory + "/queue").build());
            }

            @Override
            public void pin(int core) {
                AffinitySupport.setAffinity(1L << core);
            }
        });
    }

    @Override
    Writer writer(byte[][] excerpts) throws Exception {
        ExcerptAppender to = queue.createAppender();
        return new Writer() {
            @Override
            public void append(byte[] excerpt, int number) {
                to.startExcerpt(excerpt.length);
                to.write(excerpt);
                to.finish();
            }

            @Override
            public void appendSynced(byte[] excerpt, int number) {
                to.startExcerpt(excerpt.length);
                to.nextSynchronous(true);
                to.write(excerpt);
                to.finish();
            }

            @Override
            public void append(long time, byte[] rest) {
                to.startExcerpt(8 + rest.length);
                to.writeLong(time);
                to.write(rest);
                to.finish();
            }
        };
    }

    @Override
    Reader reader() throws Exception {
        ExcerptTailer from = queue.createTailer().toStart();
        return new Reader() {
            @Override
            public int firstByte() {
                if (!from.nextIndex()) {
                    return -1;
                }
                int first = from.readUnsignedByte();
                from.finish();
                return first;
            }

            @Override
            public long firstLong() {
                if (!from.nextIndex()) {
                    return Long.MIN_VALUE;
                }
                long first = from.readLong();
                from.finish();
                return first;
            }
        };
    }

    @Override
    void close() throws Exception {
        queue.close();
    }
}
