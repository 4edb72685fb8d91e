// Prints what Kafka's own Java client makes of 10,000 keys: their murmur2, eight hex digits each, 16 to a line. The golden values of
// partitioner_test.cpp are its output:   java -cp 'kafka-clients.jar:...' Murmur2.java > murmur2.golden
import org.apache.kafka.common.utils.Utils;

public class Murmur2 {
    public static void main(String[] arguments) {
        long state = 42;
        StringBuilder line = new StringBuilder();
        for (int i = 0; i < 10_000; ++i) {
            state = state * 6364136223846793005L + 1442695040888963407L;
            byte[] key = new byte[(int) ((state >>> 33) % 65)];
            for (int k = 0; k < key.length; ++k) {
                state = state * 6364136223846793005L + 1442695040888963407L;
                key[k] = (byte) (state >>> 56);
            }
            line.append(String.format("%08x", Utils.murmur2(key)));
            if (i % 16 == 15) {
                System.out.println(line);
                line.setLength(0);
            }
        }
    }
}
