/**
 * Signatures that neither an adapter nor a simulator of this folder has made, so that the two cannot agree on the same mistake. Keys and
 * signatures are openssl's (`openssl genrsa 2048`, `openssl pkcs8 -topk8 -nocrypt`; the certificate `openssl req -x509 -set_serial 0x5157…`);
 * each signature is `printf %s "$TEXT" | openssl dgst -sha256 -sign KEY.pem | base64 -w0` over the text beside it, which is put together
 * by hand as the vendor's page says. RSASSA-PKCS1-v1_5 has no random part: it comes out the same each time. Test keys: they open nothing.
 */

/** What signs requests: the Alipay app's key, the WeChat Pay merchant's. */
export const MERCHANT_PRIVATE = `-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCjX5h2Jy93WSHc
3XDpwEwEKHVCeJpRHmbIGnsLvCfUqW344Wii3WwIeEhdAtgY6srzimyVzqy1kKi9
TszEBYmzbIz2B+RX/6WIC5p57q+Xk6bjZzUYxg3i1DSOOv/Xe4+sUM6jDXwf3K+G
zJ3bfuobIb85SljrEZ5a8vr7eAvNqJQR5TwgE3mHKUCtckACdhGX5t57q7CDoJp3
rWmXkQ/d3e4JQbjK1ULheU/dMinmShgQstceIOjKXlPbEOGQfn+MPKNmICH6Gooo
c9sMGBun26UZZyKKEcBEddeQlT1dEjTE3FuU+LbkJnzGkyCeDymz6LlamMRzFpD8
LGx6oxiVAgMBAAECggEABhUJuU/JAnUs5EY/WuR0i3Xw/VarO4GZhtZ0Zfi62lAa
wQGtlJPHJ/61z4imSXqei1yRM8DZ2zADXwxKrvtAp9iqSaX8I5MexYJDXZMFH+w4
lnuUJ8GGsfXbEwkNRQLbnN/12Eoo8dUCK09Giu3VFRLuakcsckdZyAcG4wISZmwJ
cKFHgVPP74wcueTaRt1qImeUdQcddRifkcYLaEjxM83bgNXeV6H2Mq97WQ7QkNL8
drB5GOkgTOGWQncl+onRpW9Gq9MaX6nSw0ymqijq4p2oolMiIeGfEEixeVDd32Cd
Z18gAogCgd2yjBPmhxcgRCFaqQflmOt+Rt4hHP+brQKBgQDTPoNPiylGJAtVC1NX
6RIIoieXDM3bFZeIgA21DCUFP1Oa0ARdGxG0xGCq5W552qBO8f+1MIy2LYZS3yMu
+TXa22l2PPijNVE7NSbsZLcqizq2tipr4WLzscqzVl5TFpqOj0APZeBn8YXviMqa
aAkd4I33WCYjtktPkn7c8ju5rwKBgQDF/KmDYk7ez3+fAgz2MEvut8gun0gOViYz
AbjaYz6O5TU+inEkXnIbVWoINuWOxwt8HBF7VAGkNv08td8NNA/MzhtePV5OBLl3
EELZKgnCluXuGsYhlxD/udSsA2iKG+/a+QOIbneTU448kDEVyxE4fxSOOf/GYSfa
WricFJEW+wKBgQDDleKwWFGrvp27bRQKliJ7Wd+8DD/hNBmsaZvHYGo6dIqtESKp
LfHz48r5EBp8uj6pOYkfMsdlubrfqfgCev0xGOuJbSRswGXoourZ/tpUirqfBwU6
A2HB7oCWEUaeOZR6oAmY+COROd9fi9DCq8adIhdvxu7xK8yI7UOGwMUpwwKBgF9Q
v08YQf40iS1E8HaJU9UON1pypl74jJVby+Gfi9uBb3u3bLbknSyZl11zCFsPanEK
lkP4cn3bV1kl+cdCfCTOSRC6nK8UyTEP7A7elSpQOUvDKgW705w5m7BgR7DNuFCE
N3Y0MG8F9+EiTe8+/wBi9cNvGrsnxObzbBMAN8WHAoGAb1uzY+9VF++KTGF34SSn
X6ic0L8fCrlQCeMrOXzr9lkg1j4R+IPuCEddZfBZJID468Da5uM2sSucs2IaTzea
ozK9AtJ0fLY0DsgJ/VNA39nu2MfxX2qxi545Ors7+RHCdArBno6qvjxMwg156cJE
ET1RFB72Yowkg9dYQGZLsFo=
-----END PRIVATE KEY-----
`

export const MERCHANT_PUBLIC = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAo1+Ydicvd1kh3N1w6cBM
BCh1QniaUR5myBp7C7wn1Klt+OFoot1sCHhIXQLYGOrK84pslc6stZCovU7MxAWJ
s2yM9gfkV/+liAuaee6vl5Om42c1GMYN4tQ0jjr/13uPrFDOow18H9yvhsyd237q
GyG/OUpY6xGeWvL6+3gLzaiUEeU8IBN5hylArXJAAnYRl+bee6uwg6Cad61pl5EP
3d3uCUG4ytVC4XlP3TIp5koYELLXHiDoyl5T2xDhkH5/jDyjZiAh+hqKKHPbDBgb
p9ulGWciihHARHXXkJU9XRI0xNxblPi25CZ8xpMgng8ps+i5WpjEcxaQ/CxseqMY
lQIDAQAB
-----END PUBLIC KEY-----
`

/** What signs answers: Alipay's key, WeChat Pay's platform. */
export const PROVIDER_PRIVATE = `-----BEGIN PRIVATE KEY-----
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQCg2EtbNpL4AMcJ
RjzYL129sJs+PCtgGN02/ETnY0EAKB73uLq9VsWJ9NcvwsK/6COMYN36Sihk17MD
6eAa9+MVadlgLigK4hwF7TwT5Si8VrDPJQlog7cOx2FNZrV5/h4yMo9vHlyPZd/d
gzrJyehvnN/ib9RTz6hwYa0RDGE5XQuVD6FsIjVdH3rWdUC3NI/dHI1ilFoCQPAD
+vvCoDbH0Ra3bC6D55KPn3YotHnnXMRzgiphdEQPGktnlLMH/KXojKNo8KF4eSjm
UUqK9np5zyR2QLWjlbgcnpf6e0D+/hRjDOH6kkVSVYdkPWNSvRqNTK9FfrZz2NFg
8ImrfRftAgMBAAECggEAOeWxtmseGxx4iMuaIj1mkl3se8n/2Q8KLf0/tkTBhJNs
lkIOIhKGd8LE5MHIBXlDtoe1z577DFWicDGzBDIfsTkRULA8pLJAYRfErOqrr6PK
8D2GNfNXpP+69DgY8gk5iFsvy1FUAyAqJZvTwQgnXWnMIz+a3/JbUNywBfd9Vb6o
yRr6WZF9BbGP4MT8K7VROjfD7u3wUZ4lrl4BHdBBxqCjFVn36ecZJgWeTglZJ5Qj
akQa4yRix1zzGP2XWWHcEeRnYU5GWtthaXVzfQAYMIIcUlJBPvs6TSpBah0b3OJq
w7AuJttFfR6QLfe2gqSo1p7s44bFKhuQDpHhuc/GZwKBgQDPoJQxSlilasm35YPO
qSCZ00nZewzuNhgyDUAb82/GCX5ZTK31SN3MJbtSQOG1BYJdOwuoqSdJvoAo85CC
wKxp/LviSqxsDGJyp93Ai1LTdEat1MS3JAsERyIaZ9ZonKzv3DUEf/25Bjp+duDl
ZkKURZ873YmZw4QS0T4KtuLMpwKBgQDGUX7pPOQ8L1DgnKXMUB3se6MYGkYFFZgE
03hq+D44pAkdCFPJNWfsyM3EAwADgOTyIWGAWDBDxKYnRaT7WVz4HcAazmled8NC
KIVx9PcxckakvEr/Vi+PcuyI5eurgaNBv+LuKcG3CzdvsC9vcu+yg7DR+CvMOrB5
G7KDsLElSwKBgFo3v0zvrjcqgL5Ml4psCQNuQO+kPUkg7kCJa2r5y360z1cEL66e
W+oCFzQ1hx2+aBgUuQsvfSfZBB1HQGrgR8rCC+3XXraQZxLFCGFK6NGC+9c61cNy
gOr58cKhjhPkyGxtNghfiSMlprMe+rgTSCjfW8KKj+jlgPUgQKItN72PAoGAVt80
HK9Tuxlu8DUuW4Vs1j6CfvhjW67N3K9VvGXpu53/b/xJ14XRdGOx3v8Bbodzwqzk
rPf0jHsD3YggcQoAM5+0mwl4Fq2Xls9xRS3taneIgnkI0TjLtKa+/mjZB1POU+re
WT1pYelD62TeIo/Sd/w/5Ho1lUzQKPz9AbrQnmkCgYAcjWw0ps2YMUvQVM97Hj20
5Z/wVype4dOs2YGmNe0xH5bjRgPwgXWkdcL5fE/uV3AkDDkTEkh4j/rJg3fmkGiW
T+cHj4DFtj9ASiw5U1XO2pkPw+dlOx78mLQH08XohcRm1ip4RKMxQqvubehPPN15
wuQfjk+vTVz1YJhzYXeaRA==
-----END PRIVATE KEY-----
`

export const PROVIDER_PUBLIC = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAoNhLWzaS+ADHCUY82C9d
vbCbPjwrYBjdNvxE52NBACge97i6vVbFifTXL8LCv+gjjGDd+kooZNezA+ngGvfj
FWnZYC4oCuIcBe08E+UovFawzyUJaIO3DsdhTWa1ef4eMjKPbx5cj2Xf3YM6ycno
b5zf4m/UU8+ocGGtEQxhOV0LlQ+hbCI1XR961nVAtzSP3RyNYpRaAkDwA/r7wqA2
x9EWt2wug+eSj592KLR551zEc4IqYXREDxpLZ5SzB/yl6IyjaPCheHko5lFKivZ6
ec8kdkC1o5W4HJ6X+ntA/v4UYwzh+pJFUlWHZD1jUr0ajUyvRX62c9jRYPCJq30X
7QIDAQAB
-----END PUBLIC KEY-----
`

/** Of the same key, as WeChat Pay hands out platform certificates; valid from 2024 to 2123. */
export const PLATFORM_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIDNzCCAh+gAwIBAgIUUVfwnv3Alt4V6+gaRwV6cjLxuOEwDQYJKoZIhvcNAQEL
BQAwKjEoMCYGA1UEAwwfVGVucGF5LmNvbSBzaWduIChzaG9wd2lyZSB0ZXN0KTAg
Fw0yNDAxMDEwMDAwMDBaGA8yMTIzMTIwODAwMDAwMFowKjEoMCYGA1UEAwwfVGVu
cGF5LmNvbSBzaWduIChzaG9wd2lyZSB0ZXN0KTCCASIwDQYJKoZIhvcNAQEBBQAD
ggEPADCCAQoCggEBAKDYS1s2kvgAxwlGPNgvXb2wmz48K2AY3Tb8ROdjQQAoHve4
ur1WxYn01y/Cwr/oI4xg3fpKKGTXswPp4Br34xVp2WAuKAriHAXtPBPlKLxWsM8l
CWiDtw7HYU1mtXn+HjIyj28eXI9l392DOsnJ6G+c3+Jv1FPPqHBhrREMYTldC5UP
oWwiNV0fetZ1QLc0j90cjWKUWgJA8AP6+8KgNsfRFrdsLoPnko+fdii0eedcxHOC
KmF0RA8aS2eUswf8peiMo2jwoXh5KOZRSor2ennPJHZAtaOVuByel/p7QP7+FGMM
4fqSRVJVh2Q9Y1K9Go1Mr0V+tnPY0WDwiat9F+0CAwEAAaNTMFEwHQYDVR0OBBYE
FBryEz8IG4at0vpEyEdNtJ14uw7GMB8GA1UdIwQYMBaAFBryEz8IG4at0vpEyEdN
tJ14uw7GMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAJfBYlqY
IPssPrR5GQrNgRX/EeUmocQHS3yipm//Lchlko5uFDw8vqCtMo8mTq7TrGzPJnQZ
n0JmVvXjaDfMl4+QjiT7RRohPGCWeue0AhivTPHRUzE+MJDPEPNAMNc7i5vxr3N9
HEsPgmB04BeG5OGMm6f+5mlmprCV3/lZEqvPkkFoijdPEgdyjLfVkYLXBFqR5bJ6
W3quoWatMmzUrX+/tCKHcI68fTLbG84hbH3AWH1pIi9ckt/sZQK6fskNn3KTcF/6
nOvYpNOqfZdth/xAETSqvflI0oYIA0VFccc2T8RElPv6EJw1BHvH72vHPOhBMCf2
IydAsSXSPvnBFzg=
-----END CERTIFICATE-----
`
export const PLATFORM_SERIAL = '5157F09EFDC096DE15EBE81A47057A7232F1B8E1'

/** opendocs.alipay.com/common/02kf5q: all parameters but `sign`, sorted by name, `name=value` joined by `&`, before any URL encoding. */
export const ALIPAY_REQUEST = {
  at: '2026-03-14T06:05:09Z',
  params: {
    app_id: '2021000122671080',
    biz_content: `{"out_trade_no":"0123456789abcdef012301","subject":"Blue Lantern A/47 & 11","total_amount":"88.05","terminal_id":"till-1","scene":"bar_code","product_code":"FACE_TO_FACE_PAYMENT","auth_code":"281234567890123456"}`,
    charset: 'utf-8',
    method: 'alipay.trade.pay',
    sign_type: 'RSA2',
    timestamp: '2026-03-14 14:05:09',
    version: '1.0',
  },
  text: `app_id=2021000122671080&biz_content={"out_trade_no":"0123456789abcdef012301","subject":"Blue Lantern A/47 & 11","total_amount":"88.05","terminal_id":"till-1","scene":"bar_code","product_code":"FACE_TO_FACE_PAYMENT","auth_code":"281234567890123456"}&charset=utf-8&method=alipay.trade.pay&sign_type=RSA2&timestamp=2026-03-14 14:05:09&version=1.0`,
  sign: 'n2omTqv6MTmITucPZJ/O4okSTyI9vLYUJFxm7OqvFKL1cu/qrm0Xh7xhNzMme3ntP29FBzERZCUjc6RL7wKifI/xEr2C9h7P4YB3x0JdxO0g9RLnHKKnPNvVNTwjCyEly7bTahuECa/saWtf5ie6mIL3t82ElRvIsLgI1Zq8J3ryDKh+1ioXCmFxrh3nF30eEJI/6g5zVaad0eHRy/+IfxqSFrmJKCiTCpoM9AV3ibENBxujLXSVuWZludKpjxLULC+/+F2Xf9lvpgEd+KzvaSEoEdbRgaYcN4mQncyqritFOwOfQmeqAiTfkFSe10muE3aNCzec5d5+09tUw9oFrA==',
}

/** Alipay, "自行实现验签": the response's object as it stands in the body, escapes and all. */
export const ALIPAY_ANSWER = {
  text: `{"code":"10000","msg":"Success","buyer_logon_id":"159****5620","buyer_user_id":"2088101117955611","gmt_payment":"2026-03-14 14:05:10","out_trade_no":"0123456789abcdef012301","total_amount":"88.05","trade_no":"2026031422001455611000000001","store_name":"\\u84dd\\u706f\\/\\u5496\\u5561"}`,
  sign: 'AV8p6ZrOktmN1OUdL0tdm64Gh+AeXTEqCH80X9B6bO+7+0AbDyBtg0wQs0VzYfrk0/MVXK4X/9uLw2oXJAA0F8U3DPA0RM2Cz6bCmUTEp6pJSYpjkUePToKtBxSxDYt87Qfowv+n4cSYoVTHnJTEp58uQxtxxjLwHdRNNlXVKaCGYQyn98ntbXzmfPgTkU+V+UFIeHk+e0VSWP1FbiJxxYxZ0zOtXkZAILJfhL5O8aAPnGlcqHBIHUCLm6DTYKElfDGUjNh2z8vP4NClL9JjKAATpoFXZkqIym+mpvxiVUJXi/IH+rT0RLqi/rbhJDT/n1CAU26+kDe21DmQTjc4ug==',
}

/** WeChat Pay APIv3, "签名生成": method, URL from the path on, time stamp, nonce and body, each with a line feed. */
export const WECHAT_CHARGE = {
  timestamp: '1773468309',
  nonce: '593BEC0C930BF1AFEB40B4A08C8FB242',
  target: '/v3/pay/transactions/codepay',
  body: `{"appid":"wxd678efh567hg6787","mchid":"1900009191","description":"Blue Lantern 咖啡 A/47","out_trade_no":"0123456789abcdef012301","amount":{"total":8805,"currency":"CNY"},"payer":{"auth_code":"134567890123456789"},"scene_info":{"device_id":"till-1","store_info":{"out_id":"till-1"}}}`,
  signature:
    'G6K65fxIQqaYQz+z9iHdugOv1rikM5K6Kzl1e1uldfTp60PfBlv4Z/+RZnzdrppj64Knyk8tKEIKV1vswUrJ//QIP4KQFHpLyIxLzxbCTKPzw9td+JThNvqySlOumzOA84Rd0e/hL4R+16z67EdGHbQXUurnITicWA2Km5+028MWU+9PzVMgxs2DuD4Bt3zDJS8Iv/oX59eXuezxoLiFzE66nkcWDW6oIe4PBNQZgdyQ+fxwFblA+mSOWDiyK5vFntdyEOze4NTRNVXheD4UKlhhsULZ+3F7+EHZca1/GDuZDnGaHxob5UkQp337dmlHzf58kWhKy2MpXvpYgq9IPQ==',
}

/** The same with a query string and no body. */
export const WECHAT_QUERY = {
  timestamp: '1773468309',
  nonce: '593BEC0C930BF1AFEB40B4A08C8FB242',
  target: '/v3/pay/transactions/out-trade-no/0123456789abcdef012301?mchid=1900009191',
  signature:
    'HXVRbsDWXpzHiGMYip5xGv4HZgsOZiKhNZXm56cl242D6g2BSMn9znIJenN2uHdkGDYuNjsUf7dJ5s8XrZntN+OCIHkPfoTcGXIbj6QceURNkyPqSI/CZZltMtQSR1h+1Z8IKfLH/mSw+OG4Z0V/Nw/sGiGG+r33M1NQjJD+o6/2s53N8bUZVXW9F6Pj7l0fidMVHODEhhYiY9yVxYCsR8o4S+IXZte0lH/W/UGz4o5YgSGIuXJkTT1/ovrXyi9NF1FShzsr2OosGks0rCTLGOKBh/HZ3JaMoAuvy8cWY23ozXH7wvMSihE35abeJNGt2FnwGbgDlH3E92TSD2eTuw==',
}

/** WeChat Pay APIv3, "签名验证": time stamp, nonce and body, each with a line feed. */
export const WECHAT_ANSWER = {
  timestamp: '1773468310',
  nonce: 'c5ac7061fccab6bf3e254dcf98995b8c',
  body: `{"appid":"wxd678efh567hg6787","mchid":"1900009191","out_trade_no":"0123456789abcdef012301","transaction_id":"4200002026031400000000000001","trade_type":"MICROPAY","trade_state":"SUCCESS","success_time":"2026-03-14T14:05:10+08:00","payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},"amount":{"total":8805,"currency":"CNY"}}`,
  signature:
    'DVAxRRt9dFfOYFbgGCj8LyDu/wuyP7zTQQUvHuC/9VC3SnN3Sx5HD0he1GVJdlLwqKbUxnNVHPaFk2xd2axJYD8Zjlq7TP3EImarKgo5b9b25rS5cL9euAI7YA+LUmaEWXrBVVAPCMDAIX6RUPDOgvJpg2FNjKBR+joSNUF2v+aMZB3MJotEsD56vU8BU920JkVP6mdHjjPajRGBXO7xMsw5CJuQ3uUUGyYm+q8iJjdnSspTqsNA7eW0IB+q8/13IQPx2ouVaV5AHecXcSSfr99n5gZ2Utd40BGgobDDbIO65h6uYy7QxCuSFgVfhK4602+MyT4pOCI9tQHmF6T2vw==',
}

/** The 32 characters that a merchant sets at WeChat Pay. */
export const API_V3_KEY = 'GoldenApiV3KeyOfTheTestShop01234'

/**
 * PLATFORM_CERTIFICATE as `GET /v3/certificates` gives it, sealed by another implementation ("证书和回调报文解密": the tag follows the
 * ciphertext): Python's `b64encode(AESGCM(API_V3_KEY).encrypt(b"61f9c719728a", PLATFORM_CERTIFICATE, b"certificate"))`.
 */
export const SEALED_CERTIFICATE = {
  algorithm: 'AEAD_AES_256_GCM',
  nonce: '61f9c719728a',
  associated_data: 'certificate',
  ciphertext:
    'wTARYYUtDH62r5nzaEolEbUz+h8QZE6rBxxguulyd+QLuqhKRKNWE0VopPUgwkJYrbBxuwJdG7mdnS+ugIZ+6rm944tUTjuLdSBaywD3h5EYpofEohkTbKWjVDGtHJFp/rYG0Spk2FqLTJ1tHCJyDSInaaUxVgxsI9RrQCt85t7GfyIPRyDa/YpxM7BBy9/1VFu4U8NpCqGvCeLQ9mxV67KZ0F2ylTpdRSCHJuVWr0LCeG2/W5z5dMRgy3GYGyq320hxtV1aLs65GvOrdUJyD5vKNt6ieYNlg1IJRwEOmIlfyYJz7dFmC/OMHIXqBTOP322ABKyYjKK33bXNYG8nXtAmen0Z+NPCd/YvbmG3mG1qhZ8ZgnQqx8edZODH2Qfq75vSbymsW2vhtOi1CVUX9k78pW70cLtaqStLQ8lXGtSxiMNHt9DyY+s1WaJsB5Jc7UEnPeBJINrYLtK4ALNk30nw9baSrTIlDuQZ85/hfpkZvXxi5iEGmsd9FENBDCKtAAx/dne+cGGFQXoGrojRN1+WJY9zLtUdp6Ya7FxPas4EVJQ6zpqkf9oOQqXfUab7R3XtPXJAf1rBTejvMIk/+Q6F6//RlG1u/c0bha4TAUXBU97yPwFFoCWp34KvC1QFwTj38CYmFZb4M/ejajfukvxPuTVgC9jG++dF5mw7Xm7dtEdDn47LSRzpP9r/mTQbsHs7RIIkj/uaLydqWX8G4kKv1GlJuthwHuK70Rjb/LQ4t4bn/4PXyX83is63hJl3XNWMW2yupH5zi7Tuk1cNu3P4ap+NgHiR+W14DisEykFHycwXneroShsc56EWW/C+XwJYO+7CwY4JiD0/0asEXXYeT3eeS94QFfSCI0XcJhowDSrGOIrYORKdYrkVBjPL4rsFFday1sLJstflrcjqLnJ3HhJOia5HobrO97/1VOZ+kOTmU+WW8fJym11VzHvS8R8C1g5u7oh743zzB8VF6Wp7JirzBQ2S2IHcpGwAvRPFX9HGwD0+VBbr228fUWZdVjnj6EfFkrTfFvVW85922fFeF9EjzidtUuOHCAKB5ysF1AjufflZwYYITWi1goBXRbxOvgVxQxzhrZOh/Ve8leUEdqqEHDmB6d4ufw4KFd3ZGlinwR74exrT8iF80H6kkbTtH8bo6l4C9Vnt4csqOxGmKnosx2KVTmVGy3wBV22sRT4DhmP6vG60cBkE7gaWHiYFtAK0SXmtLQYqfNT6FAwj4jnmm9f1TSRzNz9bkqxSCTJSmOgDYyEJ5EeE14iRLiPg1UhH8hYzvMhuYuOAUe8D5U0IDRLxmwWKxOVpEgYeNh8FYL91h+vuw3DnJUV+vmQZVq5grwEv141phpqqXPXZwD0uyk/Xy72RQLw75DPccuyIGWkBvUuyXeJ6RQuNCpGdYQEuogbPndjInxDPxgUoCPDtTxCcWqewdCXmzGkVN9Tz1NIBJqynwdKYwYWYW4fedLmBjdeQ52hu0/u+aTjaVS96/DJ3SK7UjEVqO8Ya4yzzbbCpHRLJNwgT0YWscQ98bMgS1ujvgxwtcr8SFYP4HZRtcPWMNNsScxPpHV8iJx8lU5Hfcw==',
}
