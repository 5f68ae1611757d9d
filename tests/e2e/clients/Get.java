import java.io.FileInputStream;
import java.net.Authenticator;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Base64;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Gets a URL of the API server with one of Java's two clients. HttpURLConnection asks an Authenticator
 * for name and secret, once the proxy has answered 407. HttpClient would do so, too, but with an
 * Authenticator it leaves out the request's own Authorization: it gets a header for the proxy instead.
 */
class Get {
  public static void main(String[] args) throws Exception {
    var proxy = URI.create(args[1]);
    var address = new InetSocketAddress(proxy.getHost(), proxy.getPort());
    var tls = trusting(args[2]);
    var authorization = "Bearer " + args[3];
    var url = URI.create(args[4]);
    var userInfo = proxy.getUserInfo();
    switch (args[0]) {
      case "HttpURLConnection" -> {
        if (userInfo != null) Authenticator.setDefault(giving(userInfo));
        var connection = (HttpsURLConnection) url.toURL()
            .openConnection(new Proxy(Proxy.Type.HTTP, address));
        connection.setSSLSocketFactory(tls.getSocketFactory());
        connection.setRequestProperty("Authorization", authorization);
        connection.getInputStream().transferTo(System.out);
      }
      case "HttpClient" -> {
        var client = HttpClient.newBuilder().proxy(ProxySelector.of(address)).sslContext(tls).build();
        var request = HttpRequest.newBuilder(url).header("Authorization", authorization);
        if (userInfo != null) request.header("Proxy-Authorization", basic(userInfo));
        var response = client.send(request.build(), BodyHandlers.ofString());
        if (response.statusCode() != 200) throw new Exception(response.toString());
        System.out.println(response.body());
      }
    }
  }

  private static Authenticator giving(String userInfo) {
    return new Authenticator() {
      @Override
      protected PasswordAuthentication getPasswordAuthentication() {
        var parts = userInfo.split(":", 2);
        return new PasswordAuthentication(parts[0], parts[1].toCharArray());
      }
    };
  }

  private static String basic(String userInfo) {
    return "Basic " + Base64.getEncoder().encodeToString(userInfo.getBytes());
  }

  private static SSLContext trusting(String file) throws Exception {
    var store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (var in = new FileInputStream(file)) {
      store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
    }
    var factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init(store);
    var context = SSLContext.getInstance("TLS");
    context.init(null, factory.getTrustManagers(), null);
    return context;
  }
}
