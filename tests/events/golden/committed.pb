
$8a562c67-ca16-48ba-b074-65581be6f001)$8a562c67-ca16-48ba-b074-65581be6f001"PEARLPAY(:alipayBhk-cn-hkd-cnyJ20261123110075000001R
PEARLPAYHKDÂNR
DELTAFXHKDð±ÿÿÿÿÿÿÿR
DELTAFXCNYHR
ALIPAYGWCNYÿ·ÿÿÿÿÿÿÿR
	BAYSWITCHHKDÎÿÿÿÿÿÿÿÿZà¬ØÀŸ«bà¬Ø€åšw