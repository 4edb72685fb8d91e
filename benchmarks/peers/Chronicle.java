// Chronicle Queue's side of benchmarks/peers: a process that does one command after the other, so that its rounds interleave
// with the others'. A command is a line of words, its answer a line of numbers; "failed ..." says why there are none.
//
//     open DIRECTORY MODE SYNCED VALUE_BYTES BATCH      an empty store, or what is there
//     append RECORDS SECONDS WRITERS TIMED              nanoseconds, then per writer the records; where timed, then ns of each batch
//     read                                              records, sum of first bytes, nanoseconds
//     pace RECORDS RATE                                 one thread appends by the clock, one spins and reads: ns from scheduled to seen
//     sustain RECORDS                                   records, nanoseconds; gaps between two appends in ns: p50, p99, p99.9, longest
//     close                                             0
//
// Each version's queue stands behind `Store` in a file of its own (ChronicleThree.java, ChronicleFive.java), and is run as a process
// of its own, since their libraries exclude each other.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Arrays;

abstract class Store {
    /// Appends one excerpt. One per thread.
    interface Writer {
        /// `number` is its place among those the writer was made with.
        void append(byte[] excerpt, int number) throws Exception;

        /// The same, and returns when it, and what came before, is on the disk.
        void appendSynced(byte[] excerpt, int number) throws Exception;

        void append(long time, byte[] rest) throws Exception;
    }

    /// Reads one excerpt. One per thread.
    interface Reader {
        /// The excerpt's first byte; -1 where there is none yet.
        int firstByte() throws Exception;

        /// Its first eight bytes; Long.MIN_VALUE where there is none yet.
        long firstLong() throws Exception;
    }

    /// `excerpts` are all that will be appended, so that a writer can put them where its library likes them to be.
    abstract Writer writer(byte[][] excerpts) throws Exception;

    abstract Reader reader() throws Exception;

    abstract void close() throws Exception;
}

interface Opener {
    Store open(String directory, String mode, boolean isSynced) throws Exception;

    /// Keeps the calling thread on one core, by the library's own means.
    void pin(int core);
}

final class Chronicle {
    private static final int TURNS = 64;
    private static final int MOST_BATCH = 100;

    private final Opener opener;
    private Store store;
    private byte[][] excerpts;
    private int batch;
    private boolean isSynced;

    Chronicle(Opener opener) {
        this.opener = opener;
    }

    static void serve(Opener opener) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);  // what the library says is no answer
        Chronicle one = new Chronicle(opener);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        out.println("ready");
        out.flush();
        for (String line; (line = in.readLine()) != null;) {
            String answer;
            try {
                answer = one.answer(line.split(" "));
            } catch (Throwable why) {
                why.printStackTrace();
                answer = "failed " + String.valueOf(why).replace('\n', ' ');
            }
            out.println(answer);
            out.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    private String answer(String[] words) throws Exception {
        switch (words[0]) {
            case "open":
                store = opener.open(words[1], words[2], words[3].equals("1"));
                isSynced = words[3].equals("1");
                batch = Integer.parseInt(words[5]);
                excerpts = excerptsOf(Integer.parseInt(words[4]), batch == 1 ? TURNS : batch);
                return "0";
            case "append":
                return append(Long.parseLong(words[1]), Double.parseDouble(words[2]), Integer.parseInt(words[3]), words[4].equals("1"));
            case "read":
                return read();
            case "pace":
                return pace(Integer.parseInt(words[1]), Double.parseDouble(words[2]));
            case "sustain":
                return sustain(Long.parseLong(words[1]));
            case "close":
                if (store != null) {
                    store.close();
                    store = null;
                }
                System.gc();  // mappings go with their objects; not while somebody else is measured
                return "0";
            default:
                throw new IllegalArgumentException(words[0]);
        }
    }

    /// The values that everybody appends (value_store in peer.hpp).
    private static byte[][] excerptsOf(int valueBytes, int count) {
        byte[] all = new byte[valueBytes * MOST_BATCH];
        int word = 1;
        for (int at = 0; at < all.length; at += 4) {
            word = word * 1664525 + 1013904223;
            int mixed = word ^ word >>> 16;
            for (int i = 0; i < 4; ++i) {
                all[at + i] = (byte) (mixed >>> 8 * i);
            }
        }
        byte[][] made = new byte[count][valueBytes];
        for (int i = 0; i < count; ++i) {
            System.arraycopy(all, i * valueBytes, made[i], 0, valueBytes);
        }
        return made;
    }

    private static final class Share {
        long records;
        long[] times = new long[0];
        Throwable failure;
    }

    private String append(long records, double seconds, int writers, boolean isTimed) throws Exception {
        Share[] shares = new Share[writers];
        Thread[] threads = new Thread[writers];
        java.util.concurrent.CyclicBarrier ready = new java.util.concurrent.CyclicBarrier(writers + 1);
        for (int i = 0; i < writers; ++i) {
            Share mine = shares[i] = new Share();
            int core = i;
            threads[i] = new Thread(() -> {
                try {
                    if (writers <= 2 && !isSynced) {  // who waits for the disk goes where the scheduler likes
                        opener.pin(core);
                    }
                    Store.Writer writer = store.writer(excerpts);
                    ready.await();
                    write(writer, records / writers, seconds, isTimed, mine);
                } catch (Throwable why) {
                    mine.failure = why;
                    ready.reset();
                }
            });
            threads[i].start();
        }
        ready.await();
        long begin = System.nanoTime();
        for (Thread one : threads) {
            one.join();
        }
        long taken = System.nanoTime() - begin;
        StringBuilder answer = new StringBuilder().append(taken);
        for (Share one : shares) {
            if (one.failure != null) {
                throw new RuntimeException(one.failure);
            }
            answer.append(' ').append(one.records);
        }
        for (Share one : shares) {
            for (int i = 0; isTimed && i < one.records / batch; ++i) {
                answer.append(' ').append(one.times[i]);
            }
        }
        return answer.toString();
    }

    private void write(Store.Writer writer, long most, double seconds, boolean isTimed, Share mine) throws Exception {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        if (isSynced || isTimed) {
            mine.times = new long[(int) Math.min(most / batch, 1 << 20)];
            int count = 0;
            for (long before = System.nanoTime(); count < mine.times.length;) {
                appendBatch(writer, count);
                long after = System.nanoTime();
                mine.times[count++] = after - before;
                if (after >= end) {
                    break;
                }
                before = after;
            }
            mine.records = (long) count * batch;
            return;
        }
        long next = 0;
        while (next < most) {
            for (long stop = Math.min(most, next + 128); next < stop; ++next) {
                int number = (int) (next & TURNS - 1);
                writer.append(excerpts[number], number);
            }
            if (System.nanoTime() >= end) {
                break;
            }
        }
        mine.records = next;
    }

    private void appendBatch(Store.Writer writer, int which) throws Exception {
        for (int i = 0; i < batch; ++i) {
            int number = batch == 1 ? which & TURNS - 1 : i;
            if (isSynced && i == batch - 1) {
                writer.appendSynced(excerpts[number], number);
            } else {
                writer.append(excerpts[number], number);
            }
        }
    }

    private String read() throws Exception {
        long[] found = new long[3];
        Throwable[] failure = new Throwable[1];
        Thread reading = new Thread(() -> {
            try {
                opener.pin(0);
                Store.Reader reader = store.reader();
                long begin = System.nanoTime();
                long records = 0;
                long sum = 0;
                for (int first; (first = reader.firstByte()) >= 0; ++records) {
                    sum += first;
                }
                found[2] = System.nanoTime() - begin;
                found[0] = records;
                found[1] = sum;
            } catch (Throwable why) {
                failure[0] = why;
            }
        });
        reading.start();
        reading.join();
        if (failure[0] != null) {
            throw new RuntimeException(failure[0]);
        }
        return found[0] + " " + found[1] + " " + found[2];
    }

    private String pace(int records, double rate) throws Exception {
        long[] seen = new long[records];
        Throwable[] failure = new Throwable[1];
        java.util.concurrent.CountDownLatch ready = new java.util.concurrent.CountDownLatch(1);
        Thread reading = new Thread(() -> {
            try {
                opener.pin(1);
                Store.Reader reader = store.reader();
                ready.countDown();
                for (int got = 0; got < records;) {
                    long time = reader.firstLong();
                    if (time == Long.MIN_VALUE) {
                        Thread.onSpinWait();
                    } else {
                        seen[got++] = System.nanoTime() - time;
                    }
                }
            } catch (Throwable why) {
                failure[0] = why;
                ready.countDown();
            }
        });
        Thread writing = new Thread(() -> {
            try {
                opener.pin(0);
                Store.Writer writer = store.writer(excerpts);
                byte[] rest = new byte[excerpts[0].length - 8];
                ready.await();
                double interval = 1e9 / rate;
                long begin = System.nanoTime() + 10_000_000;
                for (int i = 0; i < records; ++i) {
                    long due = begin + (long) (i * interval);
                    while (System.nanoTime() < due) {
                        Thread.onSpinWait();
                    }
                    writer.append(due, rest);
                }
            } catch (Throwable why) {
                failure[0] = why;
            }
        });
        reading.start();
        writing.start();
        writing.join();
        reading.join(failure[0] == null ? 60_000 : 1);
        if (failure[0] != null) {
            throw new RuntimeException(failure[0]);
        }
        if (reading.isAlive()) {
            throw new IllegalStateException("not all that was appended was seen");
        }
        StringBuilder answer = new StringBuilder(records * 6);
        for (long one : seen) {
            answer.append(one).append(' ');
        }
        return answer.toString();
    }

    private String sustain(long records) throws Exception {
        int[] gaps = new int[(int) records];
        long[] taken = new long[1];
        Throwable[] failure = new Throwable[1];
        Thread writing = new Thread(() -> {  // not this one: who opens the next store would be pinned, and the pretoucher with it
            try {
                opener.pin(0);
                Store.Writer writer = store.writer(excerpts);
                long begin = System.nanoTime();
                long before = begin;
                for (int i = 0; i < gaps.length; ++i) {
                    int number = i & TURNS - 1;
                    writer.append(excerpts[number], number);
                    long now = System.nanoTime();
                    gaps[i] = (int) Math.min(now - before, Integer.MAX_VALUE);
                    before = now;
                }
                taken[0] = before - begin;
            } catch (Throwable why) {
                failure[0] = why;
            }
        });
        writing.start();
        writing.join();
        if (failure[0] != null) {
            throw new RuntimeException(failure[0]);
        }
        Arrays.sort(gaps);
        String answer = records + " " + taken[0];
        for (double part : new double[] {0.5, 0.99, 0.999, 1}) {
            answer += " " + gaps[(int) Math.min(part * gaps.length, gaps.length - 1)];
        }
        return answer;
    }
}
